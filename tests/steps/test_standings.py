"""Standings: what counts, what is written, and a season that cannot be scored."""

from __future__ import annotations

from collections import defaultdict
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from sqlalchemy import Engine

from lightchallenge_dagster.errors import PermanentError
from lightchallenge_dagster.steps import standings
from lightchallenge_dagster.steps.standings import StandingsReport
from tests import builders as build
from tests.builders import wallet

A, B, C, D = wallet(0xA), wallet(0xB), wallet(0xC), wallet(0xD)


def table(database: Engine, season: str) -> list[tuple[Any, ...]]:
    return build.rows(
        database,
        "select wallet, points, wins, losses, draws, competitions_entered"
        " from public.season_standings where season_id = cast(:season as uuid)"
        " order by points desc, wins desc, losses, wallet",
        season=season,
    )


def finalized(
    database: Engine, challenge_id: int, *winners: str, losers: tuple[str, ...] = ()
) -> int:
    """A finalized threshold challenge in which these wallets passed, and won on chain."""
    build.on_chain(database, challenge_id, status="Finalized")
    build.plan(database, challenge_id)
    build.stake(database, challenge_id, *winners, *losers)
    for winner in winners:
        build.verdict(database, challenge_id, winner)
        build.chain_winner(database, challenge_id, winner)
    for loser in losers:
        build.verdict(database, challenge_id, loser, passed=False)
    return challenge_id


def test_matches_and_challenges_add_up_with_their_weights(database: Engine) -> None:
    season = build.season(database)
    team = build.team(database, B, C.upper().replace("0X", "0x"))
    cup = build.competition(database, season, weight=1.5, type="bracket")
    build.match(database, cup, A.upper().replace("0X", "0x"), team, winner=A)
    build.match(database, cup, A, team, number=2, score_a=1, score_b=1)
    build.match(database, cup, A, D, number=3, status="in_progress", winner=A)
    finalized(database, 7, B, losers=(A, D))
    build.competition(database, season, weight=2, challenge_ids=[7])
    assert standings.pending(database) == [season]
    assert standings.compute(database, season) == StandingsReport(
        season_id=season, competitions=2, results=9, wallets=4, inserted=4
    )
    assert table(database, season) == [
        (B, 8, 1, 1, 1, 2),
        (A, 6, 1, 1, 1, 2),
        (C, 2, 0, 1, 1, 1),
        (D, 0, 0, 1, 0, 1),
    ]
    assert standings.pending(database) == []


def test_computing_again_writes_no_row(database: Engine) -> None:
    season = build.season(database)
    cup = build.competition(database, season)
    build.match(database, cup, A, B, winner=A)
    standings.compute(database, season)
    before = build.rows(database, "select xmin::text, * from public.season_standings order by 3")
    assert standings.compute(database, season) == StandingsReport(
        season_id=season, competitions=1, results=2, wallets=2, unchanged=2
    )
    after = build.rows(database, "select xmin::text, * from public.season_standings order by 3")
    assert after == before


def test_a_corrected_match_replaces_what_it_gave(database: Engine) -> None:
    season = build.season(database)
    cup = build.competition(database, season)
    build.match(database, cup, A, B, winner=A)
    build.match(database, cup, A, C, number=2, winner=A)
    standings.compute(database, season)
    build.execute(
        database,
        "update public.bracket_matches set participant_b = :d, winner = :d where match_number = 2",
        d=D,
    )
    assert standings.pending(database) == [season]
    report = standings.compute(database, season)
    assert (report.inserted, report.changed, report.removed, report.unchanged) == (1, 1, 1, 1)
    assert table(database, season) == [
        (D, 3, 1, 0, 0, 1),
        (A, 3, 1, 1, 0, 1),
        (B, 0, 0, 1, 0, 1),
    ]


@pytest.mark.parametrize(
    "change",
    [
        "update public.season_competitions set weight = 2.5",
        """update public.seasons set scoring_config = '{"win": 4}'
            where id in (select season_id from public.season_competitions)""",
        "insert into public.team_roster (team_id, wallet) select id, '0x' || repeat('e', 40)"
        " from public.teams",
        "update public.bracket_matches set winner = participant_b",
        "delete from public.bracket_matches",
        "update pipeline.chain_challenges set status = 'Active'",
        "delete from pipeline.chain_winners",
        "update public.verdicts set pass = false",
        "update public.competitions set challenge_ids = '{}'",
        "insert into pipeline.stakes select 7, '0x' || repeat('f', 40), 1, 0, '0x'",
    ],
)
def test_every_input_makes_the_season_pending_again(database: Engine, change: str) -> None:
    season = build.season(database)
    other = build.season(database)
    team = build.team(database, B)
    finalized(database, 7, A, losers=(C,))
    cup = build.competition(database, season, challenge_ids=[7])
    build.match(database, cup, A, team, winner=A)
    for each in (season, other):
        standings.compute(database, each)
    before = table(database, season)
    assert standings.pending(database) == []
    build.execute(database, change)
    assert standings.pending(database) == [season]
    standings.compute(database, season)
    assert table(database, season) != before
    assert standings.pending(database) == []


def test_a_pass_that_never_became_a_win_on_chain_is_a_loss(database: Engine) -> None:
    season = build.season(database)
    finalized(database, 7, A, B)
    build.execute(database, "delete from pipeline.chain_winners where subject = :b", b=B)
    build.competition(database, season, challenge_ids=[7])
    standings.compute(database, season)
    assert table(database, season) == [(A, 3, 1, 0, 0, 1), (B, 0, 0, 1, 0, 1)]


def test_in_a_competitive_challenge_the_ranking_says_who_won(database: Engine) -> None:
    season = build.season(database)
    build.on_chain(database, 7, status="Finalized")
    build.plan(database, 7, mode="competitive")
    build.stake(database, 7, A, B, C)
    for rank, subject in enumerate((A, B), start=1):
        build.verdict(database, 7, subject)
        build.chain_winner(database, 7, subject)
        build.insert(
            database,
            "public.rankings",
            challenge_id=7,
            subject=subject,
            rank=rank,
            score=9 - rank,
            winner=rank == 1,
            tie_break_at=build.STARTS,
            top_n=1,
            state="frozen",
            inputs_hash="x",
        )
    build.competition(database, season, challenge_ids=[7, 7])
    standings.compute(database, season)
    assert table(database, season) == [
        (A, 3, 1, 0, 0, 1),
        (B, 0, 0, 1, 0, 1),
        (C, 0, 0, 1, 0, 1),
    ]


def test_a_challenge_that_is_not_finalized_counts_for_nobody(database: Engine) -> None:
    season = build.season(database)
    finalized(database, 7, A)
    build.execute(database, "update pipeline.chain_challenges set status = 'Canceled'")
    build.competition(database, season, challenge_ids=[7, 8])
    assert standings.compute(database, season).wallets == 0


@pytest.mark.parametrize(
    ("breakage", "complaint"),
    [
        (
            "update public.bracket_matches set participant_a = 'bob', winner = participant_b",
            "neither a wallet nor a team",
        ),
        ("update public.bracket_matches set winner = '0x' || repeat('9', 40)", "neither side"),
        (
            """update public.seasons set scoring_config = '{"win": "many"}'
                where id in (select season_id from public.season_competitions)""",
            "scoring_config.win",
        ),
        ("update public.season_competitions set weight = 'NaN'", "weight"),
    ],
)
def test_a_season_that_cannot_be_scored_keeps_its_rows_and_stops_nobody(
    database: Engine, breakage: str, complaint: str
) -> None:
    good, bad = build.season(database), build.season(database)
    build.match(database, build.competition(database, bad), A, B, winner=A)
    standings.compute(database, bad)
    before = table(database, bad)
    build.execute(database, breakage)
    build.match(database, build.competition(database, good), C, D, winner=D)
    reports = {
        season: standings.compute(database, season) for season in standings.pending(database)
    }
    assert reports[good].inserted == 2
    problem = reports[bad].problem
    assert problem is not None
    assert complaint in problem
    assert table(database, bad) == before
    assert build.rows(
        database,
        "select problem from pipeline.standings_states where season_id = cast(:bad as uuid)",
        bad=bad,
    ) == [(problem,)]
    assert standings.pending(database) == []
    build.execute(database, "delete from public.bracket_matches")
    build.execute(database, "update public.season_competitions set weight = 1")
    build.execute(database, """update public.seasons set scoring_config = '{"win": 3}'""")
    assert bad in standings.pending(database)
    assert standings.compute(database, bad).problem is None
    assert table(database, bad) == []


def test_a_season_that_is_gone_is_an_error_with_its_name(database: Engine) -> None:
    season = "3f2b8c1e-0000-4000-8000-00000000dead"
    with pytest.raises(PermanentError, match=season):
        standings.compute(database, season)


def test_it_equals_a_plain_loop_over_the_tables(database: Engine) -> None:
    season = build.season(database, scoring_config={"win": 2.5, "draw": 0.1, "loss": -0.3})
    weights: dict[str, Decimal] = {}
    for weight in ("1.5", "0.1"):
        weights[build.competition(database, season, weight=float(weight))] = Decimal(weight)
    sides = [A, B, C, D]
    for competition in weights:
        for number in range(12):
            a, b = sides[number % 4], sides[(number + 1 + number % 3) % 4]
            build.match(
                database, competition, a, b, number=number, score_a=number % 3, score_b=number % 2
            )
    worth = {"win": Decimal("2.5"), "draw": Decimal("0.1"), "loss": Decimal("-0.3")}
    points: dict[str, Decimal] = defaultdict(Decimal)
    for competition, a, b, score_a, score_b in build.rows(
        database,
        "select competition_id::text, participant_a, participant_b, score_a, score_b"
        " from public.bracket_matches",
    ):
        for side, own, other in ((a, score_a, score_b), (b, score_b, score_a)):
            outcome = "draw" if own == other else "win" if own > other else "loss"
            points[side] += worth[outcome] * weights[competition]
    standings.compute(database, season)
    assert {row[0]: row[1] for row in table(database, season)} == {
        side: int(total.quantize(Decimal(1), ROUND_HALF_UP)) for side, total in points.items()
    }
