"""Ranking: who is ranked, when it closes, and that a closed ranking stays what it was."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine

from lightchallenge_dagster.errors import PermanentError
from lightchallenge_dagster.steps import judge, rank
from lightchallenge_dagster.steps.plan import PlanPolicy, refresh_plans
from lightchallenge_dagster.steps.rank import RankReport
from lightchallenge_dagster.storage import rankings
from tests import builders as build
from tests.builders import DEADLINE, ENDS, STARTS, run, wallet

POLICY = PlanPolicy(competitive_margin_s=7200, submit_reserve_s=600)
DAY = "2026-03-08"
DURING = STARTS + timedelta(days=3)
CLOSES = DEADLINE - timedelta(hours=2)
A, B, C, D = wallet(1), wallet(2), wallet(3), wallet(4)


def bring_up_to_date(database: Engine, now: datetime) -> RankReport:
    refresh_plans(database, POLICY)
    judge.judge(database, DAY, now)
    return rank.rank(database, DAY, now)


def ranked(database: Engine, challenge_id: int = 7) -> list[tuple[Any, ...]]:
    return build.rows(
        database,
        "select subject, rank, score, winner from public.rankings where challenge_id = :id"
        " order by rank",
        id=challenge_id,
    )


def winners(database: Engine, now: datetime, *challenge_ids: int) -> list[tuple[int, str]]:
    with database.connect() as connection:
        found = rankings.settled_winners(connection, challenge_ids or (7,), now)
    return [(winner.challenge_id, winner.subject) for winner in found]


def race(database: Engine, *distances: float, top_n: int = 2, challenge_id: int = 7) -> None:
    """A competitive challenge; wallet n ran the n-th distance and staked."""
    build.challenge(database, challenge_id, build.competitive(top_n))
    for number, km in enumerate(distances, start=1):
        build.evidence(database, challenge_id, wallet(number), [run(km)])
        build.stake(database, challenge_id, wallet(number))


def test_the_best_top_n_win_provisionally_and_then_nothing_is_pending(database: Engine) -> None:
    race(database, 5, 20, 10)
    report = bring_up_to_date(database, DURING)
    assert report == RankReport(partition=DAY, challenges=1, ranked=3, winners=2, inserted=3)
    assert ranked(database) == [
        (B, 1, Decimal(20), True),
        (C, 2, Decimal(10), True),
        (A, 3, Decimal(5), False),
    ]
    assert build.rows(
        database, "select state, ranked, winners, problem from pipeline.ranking_states"
    ) == [("provisional", 3, 2, None)]
    assert rank.pending(database, DURING) == {}
    assert build.rows(database, "select count(*) from public.verdicts where pass") == [(3,)]


def test_ranking_again_on_unchanged_data_writes_no_row(database: Engine) -> None:
    race(database, 5, 20, 10)
    bring_up_to_date(database, DURING)
    before = build.rows(database, "select xmin::text, * from public.rankings order by 2, 3")
    assert bring_up_to_date(database, DURING) == RankReport(partition=DAY)
    build.execute(database, "update pipeline.ranking_states set inputs_hash = 'older'")
    assert bring_up_to_date(database, DURING) == RankReport(
        partition=DAY, challenges=1, ranked=3, winners=2, unchanged=3
    )
    assert build.rows(database, "select xmin::text, * from public.rankings order by 2, 3") == before


def test_only_rows_that_differ_are_written(database: Engine) -> None:
    race(database, 5, 20, 10)
    bring_up_to_date(database, DURING)
    build.evidence(database, 7, A, [run(6)], at=DURING)
    refresh_plans(database, POLICY)
    judge.judge(database, DAY, DURING)
    assert rank.pending(database, DURING) == {DAY: 1}
    report = rank.rank(database, DAY, DURING)
    assert (report.changed, report.unchanged, report.inserted, report.removed) == (1, 2, 0, 0)


def test_without_stake_on_chain_nobody_is_ranked(database: Engine) -> None:
    race(database, 5)
    build.evidence(database, 7, B, [run(50)])
    bring_up_to_date(database, DURING)
    assert ranked(database) == [(A, 1, Decimal(5), True)]
    build.stake(database, 7, B)
    bring_up_to_date(database, DURING)
    assert [row[0] for row in ranked(database)] == [B, A]


def test_a_wallet_that_fails_now_leaves_the_ranking(database: Engine) -> None:
    race(database, 5, 20)
    bring_up_to_date(database, DURING)
    build.execute(
        database, "update public.verdicts set pass = false where subject = :subject", subject=B
    )
    report = rank.rank(database, DAY, DURING)
    assert (report.removed, report.ranked) == (1, 1)
    assert ranked(database) == [(A, 1, Decimal(5), True)]


def test_a_tie_goes_to_the_earlier_submission(database: Engine) -> None:
    build.challenge(database, 7, build.competitive())
    build.stake(database, 7, A, B)
    build.evidence(database, 7, A, [run(9)], at=DURING)
    build.evidence(database, 7, B, [run(9)], at=DURING - timedelta(seconds=1))
    bring_up_to_date(database, DURING)
    assert [row[0] for row in ranked(database)] == [B, A]


def test_threshold_challenges_are_not_ranked(database: Engine) -> None:
    build.challenge(database, 7, build.distance_rule(5))
    build.evidence(database, 7, A, [run(6)])
    build.stake(database, 7, A)
    assert bring_up_to_date(database, DEADLINE) == RankReport(partition=DAY)
    assert rank.pending(database, DEADLINE) == {}


# ── Closing ─────────────────────────────────────────────────────────────────────────────────


def test_a_ranking_closes_on_chain_time_and_not_a_second_before(database: Engine) -> None:
    race(database, 5, 20)
    bring_up_to_date(database, DURING)
    before = CLOSES - timedelta(seconds=1)
    assert rank.pending(database, before) == {}
    assert winners(database, before) == []
    assert rank.pending(database, CLOSES) == {DAY: 1}
    report = rank.rank(database, DAY, CLOSES)
    assert (report.closed, report.changed) == ((7,), 2)
    assert rank.pending(database, DEADLINE) == {}
    assert winners(database, CLOSES) == [(7, B), (7, A)]


def test_an_idle_competition_closes_with_nobody_in_it(database: Engine) -> None:
    race(database)
    assert bring_up_to_date(database, DURING).challenges == 0
    assert rank.pending(database, DURING) == {}
    assert rank.rank(database, DAY, CLOSES).closed == (7,)
    assert rank.pending(database, DEADLINE) == {}
    assert winners(database, DEADLINE) == []


def test_the_outcome_is_mirrored_when_it_closes(database: Engine) -> None:
    race(database, 5, 20, 10)
    build.evidence(database, 7, D, [run(99)])
    assert bring_up_to_date(database, DURING).mirrored == 0
    assert rank.rank(database, DAY, CLOSES).mirrored == 4
    assert build.rows(
        database,
        "select subject, pass, reasons, metadata -> 'ranking', metadata -> 'evaluation'"
        " from public.verdicts order by subject",
    ) == [
        (
            A,
            False,
            ["ranked 3 of 3; the best 2 above 0 win"],
            {"rank": 3, "topN": 2, "winner": False, "state": "closed"},
            {"pass": True},
        ),
        (B, True, [], {"rank": 1, "topN": 2, "winner": True, "state": "closed"}, {"pass": True}),
        (C, True, [], {"rank": 2, "topN": 2, "winner": True, "state": "closed"}, {"pass": True}),
        (
            D,
            False,
            ["not ranked: a score and a stake on chain are needed"],
            None,
            {"pass": True},
        ),
    ]


def test_a_loser_of_a_closed_ranking_is_still_in_it_when_it_is_verified(database: Engine) -> None:
    race(database, 5, 20, 10)
    bring_up_to_date(database, CLOSES)
    report = rank.rank(database, DAY, CLOSES)
    assert (report.verified, report.mismatched, report.quarantined) == (1, (), ())


def test_better_evidence_after_the_close_does_not_change_who_wins(database: Engine) -> None:
    race(database, 5, 20, 10)
    bring_up_to_date(database, CLOSES)
    before = build.rows(database, "select xmin::text, * from public.rankings order by 2, 3")
    kept = build.rows(database, "select * from public.verdicts order by subject")
    build.evidence(database, 7, A, [run(500)], at=CLOSES + timedelta(minutes=1))
    build.evidence(database, 7, D, [run(900)], at=CLOSES + timedelta(minutes=1))
    build.stake(database, 7, D)
    late = CLOSES + timedelta(minutes=2)
    report = bring_up_to_date(database, late)
    assert build.rows(database, "select xmin::text, * from public.rankings order by 2, 3") == before
    assert winners(database, late) == [(7, B), (7, C)]
    assert (
        build.rows(
            database, "select * from public.verdicts where subject <> :d order by subject", d=D
        )
        == kept
    )
    assert build.rows(
        database,
        "select pass, metadata -> 'evaluation', score from public.verdicts where subject = :d",
        d=D,
    ) == [(False, {"pass": True}, Decimal(900))]
    assert report == RankReport(partition=DAY, verified=1)
    assert judge.pending(database) == {}
    assert rank.pending(database, late) == {}


def test_even_an_overwriting_judgement_leaves_the_outcome(database: Engine) -> None:
    race(database, 5, 20, 10)
    bring_up_to_date(database, CLOSES)
    build.evidence(database, 7, A, [run(500)], at=CLOSES + timedelta(minutes=1))
    report = judge.judge(database, DAY, CLOSES, overwrite_settled=True)
    assert report.changed == 1
    assert build.rows(
        database,
        "select pass, score, metadata #> '{ranking,rank}' from public.verdicts where subject = :a",
        a=A,
    ) == [(False, Decimal(500), 3)]
    assert winners(database, CLOSES) == [(7, B), (7, C)]


def test_what_was_submitted_before_the_close_is_judged_before_closing(database: Engine) -> None:
    race(database, 5, 20)
    bring_up_to_date(database, DURING)
    build.evidence(database, 7, C, [run(30)], at=CLOSES - timedelta(minutes=1))
    build.stake(database, 7, C)
    report = rank.rank(database, DAY, CLOSES)
    assert (report.judged, report.closed) == (1, (7,))
    assert winners(database, CLOSES) == [(7, C), (7, B)]
    assert judge.pending(database) == {}


def test_a_ranking_that_closes_late_leaves_out_what_came_after_its_time(database: Engine) -> None:
    closed = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=20)
    deadline = closed + timedelta(hours=2)
    ends = closed - timedelta(days=1)
    starts = ends - timedelta(days=7)
    params = build.competitive()
    params["rule"]["period"] = {"start": starts.isoformat(), "end": ends.isoformat()}
    build.challenge(database, 7, params, starts=starts, ends=ends, deadline=deadline)
    build.stake(database, 7, A, B, C)
    ran = (starts + timedelta(days=1)).isoformat()

    def uploads(subject: str, km: float, at: datetime) -> None:
        record = {"type": "run", "start": ran, "distance_km": km}
        build.evidence(database, 7, subject, [record], at=at)

    uploads(A, 10, closed - timedelta(hours=1))
    uploads(B, 5, closed - timedelta(hours=1))
    uploads(B, 50, closed + timedelta(minutes=5))
    uploads(C, 70, closed + timedelta(minutes=5))
    now = datetime.now(UTC)
    refresh_plans(database, POLICY)
    day = ends.date().isoformat()
    judge.judge(database, day, now)
    assert rank.rank(database, day, now).closed == (7,)
    assert ranked(database) == [(A, 1, Decimal(10), True), (B, 2, Decimal(5), False)]
    judge.judge(database, day, now)
    assert judge.pending(database) == {}
    assert rank.rank(database, day, now) == RankReport(partition=day, verified=1)


def indexed_to(database: Engine, moment: datetime) -> None:
    """The indexer stands at a block of this time."""
    build.execute(database, "delete from pipeline.checkpoints")
    build.execute(database, "delete from pipeline.chain_blocks")
    build.insert(
        database,
        "pipeline.chain_blocks",
        chain_id=build.CHAIN_ID,
        number=100,
        hash=build.HASH,
        parent_hash=build.HASH,
        timestamp=build.ts(moment),
    )
    build.insert(
        database,
        "pipeline.checkpoints",
        chain_id=build.CHAIN_ID,
        stream="live",
        block_number=100,
        block_hash=build.HASH,
        first_block=0,
    )


def test_a_ranking_does_not_close_before_the_chain_is_read_up_to_then(database: Engine) -> None:
    race(database, 5)
    build.evidence(database, 7, B, [run(50)])
    indexed_to(database, CLOSES - timedelta(seconds=1))
    report = bring_up_to_date(database, CLOSES + timedelta(minutes=30))
    assert (report.closed, winners(database, CLOSES)) == ((), [])
    build.stake(database, 7, B)  # the indexer gets to its block
    indexed_to(database, CLOSES)
    assert bring_up_to_date(database, CLOSES + timedelta(minutes=30)).closed == (7,)
    assert winners(database, CLOSES) == [(7, B), (7, A)]


def test_a_competition_that_is_not_indexed_yet_is_not_closed_with_nobody(
    database: Engine,
) -> None:
    build.challenge(database, 7, build.competitive(1), chain=False)
    build.evidence(database, 7, A, [run(5)])
    assert bring_up_to_date(database, CLOSES).closed == ()
    assert rank.pending(database, CLOSES) == {}
    assert build.rows(database, "select pass from public.verdicts") == [(True,)]
    build.on_chain(database, 7)
    build.stake(database, 7, A)
    assert bring_up_to_date(database, CLOSES).closed == (7,)
    assert winners(database, CLOSES) == [(7, A)]


def test_a_canceled_challenge_is_neither_ranked_nor_closed(database: Engine) -> None:
    race(database, 5, 20)
    build.execute(database, "update pipeline.chain_challenges set status = 'Canceled'")
    assert bring_up_to_date(database, CLOSES) == RankReport(partition=DAY)
    assert rank.pending(database, CLOSES) == {}


def test_a_challenge_that_only_the_web_app_calls_canceled_is_ranked_and_closed(
    database: Engine,
) -> None:
    race(database, 5, 20)
    build.execute(database, "update public.challenges set status = 'Canceled'")
    assert bring_up_to_date(database, CLOSES).closed == (7,)


def test_all_challenges_of_a_day_are_ranked_in_one_go(database: Engine) -> None:
    race(database, 5, 20, top_n=1)
    race(database, 9, 8, 7, top_n=2, challenge_id=8)
    report = bring_up_to_date(database, CLOSES)
    assert (report.challenges, report.ranked, report.winners) == (2, 5, 3)
    assert winners(database, CLOSES, 7, 8) == [(7, B), (8, A), (8, B)]


# ── Quarantine ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("score", ["NaN", "Infinity", "1e25", "0.00000000000000000000001"])
def test_a_score_without_a_place_in_an_order_quarantines_its_challenge_only(
    database: Engine, score: str
) -> None:
    race(database, 5, 20)
    race(database, 9, 8, challenge_id=8)
    bring_up_to_date(database, DURING)
    build.execute(
        database,
        "update public.verdicts set score = cast(:score as numeric)"
        " where challenge_id = 7 and subject = :b",
        score=score,
        b=B,
    )
    report = rank.rank(database, DAY, CLOSES)
    assert report.closed == (8,)
    assert len(report.quarantined) == 1
    assert report.quarantined[0].startswith(f"challenge 7: wallet {B} has")
    assert rank.pending(database, CLOSES) == {}
    assert winners(database, CLOSES, 7, 8) == [(8, A), (8, B)]
    build.execute(
        database,
        "update public.verdicts set score = 20 where challenge_id = 7 and subject = :b",
        b=B,
    )
    assert rank.pending(database, CLOSES) == {DAY: 1}
    report = rank.rank(database, DAY, CLOSES)
    assert (report.closed, report.quarantined) == ((7,), ())
    assert winners(database, CLOSES, 7, 8) == [(7, B), (7, A), (8, A), (8, B)]


def test_two_spellings_of_one_wallet_are_not_two_winners(database: Engine) -> None:
    lower = "0x" + "ab" * 20
    build.challenge(database, 7, build.competitive(2))
    build.stake(database, 7, lower)
    for subject in (lower, "0x" + "AB" * 20):
        build.verdict(database, 7, subject, score=3)
    refresh_plans(database, POLICY)
    report = rank.rank(database, DAY, CLOSES)
    assert report.quarantined == (
        f"challenge 7: wallet {lower} has 2 verdicts, spelled differently",
    )
    assert winners(database, CLOSES) == []


@pytest.mark.parametrize(
    "tampering",
    [
        "update public.rankings set winner = true where rank = 3",
        "update public.rankings set winner = (rank = 3) where rank > 1",
        "delete from public.rankings where rank = 3",
        "delete from public.rankings where rank = 1",
        "update public.rankings set winner = false",
        "update public.rankings set score = 0 where rank = 1",
        "update public.rankings set score = 'NaN' where rank = 1",
        "update public.rankings set score = 21 where rank = 1",
        "update public.rankings set tie_break_at = tie_break_at - interval '1 s' where rank = 3",
        "update public.rankings set state = 'provisional' where rank = 1",
        "update public.rankings set rank = 4 - rank, winner = rank > 1 where rank > 0",
    ],
)
def test_a_closed_ranking_that_was_tampered_with_pays_nobody(
    database: Engine, tampering: str
) -> None:
    race(database, 5, 20, 10)
    race(database, 9, 8, challenge_id=8)
    bring_up_to_date(database, CLOSES)
    build.execute(database, tampering.replace(" where ", " where challenge_id = 7 and "))
    if " where " not in tampering:
        build.execute(database, "update public.rankings set winner = true where challenge_id = 8")
    assert winners(database, CLOSES, 7, 8) == [(8, A), (8, B)]
    report = rank.rank(database, DAY, CLOSES)
    assert [line.split(":")[0] for line in report.quarantined] == ["challenge 7"]


def lose_evidence(database: Engine, subject: str) -> None:
    query = "delete from public.evidence where challenge_id = 7 and subject = :subject"
    assert build.execute(database, query, subject=subject) == 1


def test_a_winner_by_evidence_that_is_not_there_holds_its_challenge_back_until_it_is(
    database: Engine,
) -> None:
    race(database, 5, 20, 10)
    race(database, 9, 8, challenge_id=8)
    bring_up_to_date(database, DURING)
    kept = build.rows(database, "select * from public.evidence where subject = :b", b=B)
    lose_evidence(database, B)
    report = rank.rank(database, DAY, CLOSES)
    assert report.closed == (8,)
    assert len(report.quarantined) == 1
    assert (
        f"challenge 7: wallet {B} would win by a verdict on evidence that is not there"
        in (report.quarantined[0])
    )
    assert winners(database, CLOSES, 7, 8) == [(8, A), (8, B)]
    build.evidence(database, 7, B, kept[0][4], at=DURING)
    bring_up_to_date(database, CLOSES)
    assert winners(database, CLOSES, 7, 8) == [(7, B), (7, C), (8, A), (8, B)]


def test_lost_evidence_of_somebody_who_does_not_win_holds_nobody_back(database: Engine) -> None:
    race(database, 5, 20, 10)
    bring_up_to_date(database, DURING)
    lose_evidence(database, A)
    assert rank.rank(database, DAY, CLOSES).closed == (7,)
    assert winners(database, CLOSES) == [(7, B), (7, C)]


def test_a_quarantined_challenge_is_looked_at_again_by_each_run_of_its_day(
    database: Engine,
) -> None:
    race(database, 5, 20)
    bring_up_to_date(database, DURING)
    build.execute(database, "create table kept as select * from public.evidence")
    lose_evidence(database, B)
    assert rank.rank(database, DAY, CLOSES).closed == ()
    assert rank.pending(database, CLOSES) == {}
    # Out of a backup, as it was: nothing that a sensor looks at has changed.
    build.execute(
        database,
        "insert into public.evidence select * from kept where id not in"
        " (select id from public.evidence)",
    )
    assert rank.rank(database, DAY, CLOSES).closed == (7,)
    assert winners(database, CLOSES) == [(7, B), (7, A)]


def one_row_a_provider(database: Engine) -> None:
    build.execute(
        database,
        "create unique index on public.evidence (challenge_id, lower(subject), provider)",
    )


def test_where_a_row_is_replaced_in_place_a_late_upload_decides_nothing_and_stops_nobody(
    database: Engine,
) -> None:
    one_row_a_provider(database)
    closes = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=20)
    deadline, ends = closes + timedelta(hours=2), closes - timedelta(days=1)
    build.challenge(
        database,
        7,
        build.competitive(1),
        starts=STARTS,
        ends=ends,
        deadline=deadline,
    )
    for subject, km in ((A, 20), (B, 5)):
        build.evidence(database, 7, subject, [run(km)], at=closes - timedelta(minutes=5))
        build.stake(database, 7, subject)
    refresh_plans(database, POLICY)
    day = ends.date().isoformat()
    judge.judge(database, day, closes - timedelta(minutes=1))
    # After the close both upload again: the row stays, its time of creation as well.
    build.execute(
        database,
        "update public.evidence set data = cast(:data as jsonb), evidence_hash = 'late' || subject,"
        " updated_at = now()",
        data=json.dumps([run(50)]),
    )
    now = datetime.now(UTC)
    report = rank.rank(database, day, now)
    assert (report.closed, report.quarantined, report.judged) == ((7,), (), 0)
    assert winners(database, now) == [(7, A)]


def test_two_runs_never_rank_at_once_also_when_a_challenge_moves_to_another_day(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    race(database, 5, 20)
    bring_up_to_date(database, DURING)
    build.execute(database, "update pipeline.ranking_states set inputs_hash = 'older'")
    order: list[str] = []
    candidates = rankings.candidates

    def slow(connection: Any, challenge_ids: Any, **more: Any) -> Any:
        monkeypatch.setattr(rankings, "candidates", candidates)
        build.execute(database, "update pipeline.challenge_plans set partition_key = '2026-03-09'")
        other.start()
        wait_for_a_lock(database)
        found = candidates(connection, challenge_ids, **more)
        order.append("first")
        return found

    def second() -> None:
        rank.rank(database, "2026-03-09", CLOSES)
        order.append("second")

    other = threading.Thread(target=second)
    monkeypatch.setattr(rankings, "candidates", slow)
    rank.rank(database, DAY, DURING)
    other.join(30)
    assert order == ["first", "second"]
    assert build.rows(database, "select distinct state from public.rankings") == [("closed",)]
    assert winners(database, CLOSES) == [(7, B), (7, A)]


def wait_for_a_lock(database: Engine) -> None:
    """Until some other connection to this database waits for a lock."""
    deadline = time.monotonic() + 30
    query = (
        "select count(*) from pg_stat_activity"
        " where datname = current_database() and wait_event_type = 'Lock'"
    )
    while build.rows(database, query) == [(0,)]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_challenge_whose_time_comes_while_others_close_waits_for_its_own_run(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its evidence has not been judged up to the moment at which it closes."""
    race(database, 5, 20)
    bring_up_to_date(database, DURING)
    build.challenge(database, 8, build.competitive(1), deadline=DEADLINE + timedelta(seconds=30))
    build.evidence(database, 8, A, [run(5)])
    build.stake(database, 8, A, B)
    bring_up_to_date(database, CLOSES - timedelta(minutes=2))
    judge_wallets = rank.judge_wallets

    def meanwhile(connection: Any, wallets: Any, chain_now: Any) -> Any:
        build.execute(
            database,
            "update pipeline.chain_blocks set timestamp = timestamp + 3600",
        )
        return judge_wallets(connection, wallets, chain_now)

    monkeypatch.setattr(rank, "judge_wallets", meanwhile)
    assert rank.rank(database, DAY, CLOSES).closed == (7,)
    assert winners(database, CLOSES, 8) == []


# ── Frozen ──────────────────────────────────────────────────────────────────────────────────


def freeze(database: Engine, challenge_id: int = 7) -> bool:
    with database.begin() as connection:
        return rankings.freeze(connection, challenge_id)


def test_a_closed_ranking_freezes_once(database: Engine) -> None:
    race(database, 5, 20)
    bring_up_to_date(database, CLOSES)
    assert freeze(database)
    assert not freeze(database)
    assert build.rows(
        database, "select state, frozen_at is not null from pipeline.ranking_states"
    ) == [("frozen", True)]
    assert build.rows(database, "select distinct state from public.rankings") == [("frozen",)]
    assert winners(database, CLOSES) == [(7, B), (7, A)]


def test_a_provisional_ranking_cannot_be_frozen(database: Engine) -> None:
    race(database, 5, 20)
    bring_up_to_date(database, DURING)
    with pytest.raises(PermanentError, match="challenge 7 is still provisional"):
        freeze(database)


def test_a_threshold_challenge_has_nothing_to_freeze(database: Engine) -> None:
    assert not freeze(database, 12)


def test_a_frozen_ranking_is_only_verified(database: Engine) -> None:
    race(database, 5, 20)
    bring_up_to_date(database, CLOSES)
    freeze(database)
    before = build.rows(database, "select xmin::text, * from public.rankings order by 2, 3")
    build.execute(database, "update public.verdicts set score = 99 where subject = :a", a=A)
    build.execute(database, "update pipeline.challenge_plans set top_n = 1")
    report = rank.rank(database, DAY, DEADLINE)
    assert report.mismatched == (f"challenge 7: frozen with {A}, {B}, would now be {A}",)
    assert build.rows(database, "select xmin::text, * from public.rankings order by 2, 3") == before


def test_a_deadline_moved_after_the_close_does_not_open_it_again(database: Engine) -> None:
    race(database, 5, 20)
    bring_up_to_date(database, CLOSES)
    build.execute(
        database,
        "update pipeline.chain_challenges set proof_deadline_ts = proof_deadline_ts + 90000",
    )
    refresh_plans(database, POLICY)
    assert rank.pending(database, CLOSES) == {}
    assert winners(database, CLOSES) == [(7, B), (7, A)]


# ── Winners for the money ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("broken", [{"topN": "two"}, {"period": "March"}])
def test_a_ranking_whose_rule_cannot_be_read_stays_as_it_was_and_closes_when_it_can(
    database: Engine, broken: dict[str, Any]
) -> None:
    def rule(**changes: Any) -> None:
        params = {"rule": build.competitive(2)["rule"] | changes}
        build.execute(
            database,
            "update public.challenges set proof = :proof where id = 7",
            proof=build.Jsonb({"params": params}),
        )

    race(database, 5, 20, 10)
    bring_up_to_date(database, DURING)
    before = ranked(database)
    rule(**broken)
    for now in (DURING, CLOSES):
        report = bring_up_to_date(database, now)
        assert (report.challenges, report.closed) == (0, ())
        assert ranked(database) == before
        assert rank.pending(database, now) == {}
        assert winners(database, now) == []
    rule()
    assert bring_up_to_date(database, CLOSES).closed == (7,)
    assert ranked(database) == before
    assert winners(database, CLOSES) == [(7, B), (7, C)]


def test_threshold_winners_are_final_passes_with_stake(database: Engine) -> None:
    build.plan(database, 7)
    for number, final_when in enumerate(("now", "ends_at", "proof_deadline"), start=1):
        build.verdict(database, 7, wallet(number), score=number)
        build.judgement(database, 7, wallet(number), final_when=final_when)
        build.stake(database, 7, wallet(number))
    build.verdict(database, 7, D)
    build.judgement(database, 7, D)
    failed = wallet(5)
    build.verdict(database, 7, failed, passed=False)
    build.judgement(database, 7, failed)
    build.stake(database, 7, failed)
    assert winners(database, ENDS - timedelta(seconds=1)) == [(7, A)]
    assert winners(database, ENDS) == [(7, A), (7, B)]
    assert winners(database, DEADLINE) == [(7, A), (7, B), (7, C)]


def test_a_winner_carries_what_its_proof_says(database: Engine) -> None:
    build.plan(database, 7)
    build.verdict(database, 7, A, score=Decimal("12.5"), at=DURING)
    build.judgement(database, 7, A)
    build.stake(database, 7, A)
    with database.begin() as connection:
        found = rankings.settled_winners(connection, [7], DURING, lock=True)
        assert found == [rankings.Winner(7, A, Decimal("12.5"), build.HASH, DURING, None)]
        assert rankings.provisional_winners(connection, [7]) == found


def test_a_plan_waits_for_the_payment_order_that_is_written_by_it(database: Engine) -> None:
    build.challenge(database, 7, build.distance_rule(5))
    build.evidence(database, 7, A, [run(6)])
    build.stake(database, 7, A)
    bring_up_to_date(database, DURING)
    build.execute(database, "update public.challenges set proof = jsonb '{\"params\": 5}'")
    waiting = (
        "select count(*) from pg_stat_activity"
        " where datname = current_database() and wait_event_type = 'Lock'"
    )
    with ThreadPoolExecutor(1) as pool:
        with database.begin() as connection:
            before = rankings.settled_winners(connection, [7], DURING, lock=True)
            planning = pool.submit(refresh_plans, database, POLICY)
            while not build.rows(database, waiting)[0][0]:
                assert not planning.done()
            assert rankings.settled_winners(connection, [7], DURING, lock=True) == before
        assert planning.result(timeout=60) == 1
    assert [winner.subject for winner in before] == [A]
    assert winners(database, DURING) == []


def test_provisional_winners_come_best_first_in_both_modes(database: Engine) -> None:
    race(database, 5, 20, 10)
    build.challenge(database, 8, build.distance_rule(5))
    for number, km in enumerate((6, 9, 9, 1), start=1):
        at = DURING - timedelta(hours=number)
        build.evidence(database, 8, wallet(number), [run(km)], at=at)
        build.stake(database, 8, wallet(number))
    bring_up_to_date(database, DURING)
    with database.connect() as connection:
        found = rankings.provisional_winners(connection, [7, 8])
    assert [(winner.challenge_id, winner.subject) for winner in found] == [
        (7, B),
        (7, C),
        (8, C),
        (8, B),
        (8, A),
    ]
    assert winners(database, DURING) == []
