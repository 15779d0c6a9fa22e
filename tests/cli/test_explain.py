"""``lightchallenge explain``: why somebody passed, failed, won or lost, from real rows."""

from __future__ import annotations

import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine

from lightchallenge_dagster.cli import cli
from lightchallenge_dagster.cli.story import Page
from lightchallenge_dagster.settings import Settings, variables
from lightchallenge_dagster.steps import judge, rank
from lightchallenge_dagster.steps.explain import explain_challenge
from lightchallenge_dagster.steps.plan import PlanPolicy, refresh_plans
from tests import builders as build
from tests.builders import CHAIN_ID, DEADLINE, ENDS, HASH, STARTS, run, ts, wallet

POLICY = PlanPolicy(competitive_margin_s=7200, submit_reserve_s=600)
DAY = "2026-03-08"
DURING = STARTS + timedelta(days=3)
CLOSES = DEADLINE - timedelta(hours=2)
A, B, C = wallet(1), wallet(2), wallet(0xABC)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database_url: str) -> None:
    for name in (name for field in Settings.model_fields for name in variables(field)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database_url)


def invoke(*arguments: Any) -> Result:
    return CliRunner().invoke(cli, ["explain", *map(str, arguments)])


def explain(*arguments: Any) -> str:
    """What is printed, with every run of spaces and line breaks as one space."""
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.output, "no colour codes in a pipe"
    assert all(line == line.rstrip() for line in result.output.splitlines())
    return " ".join(result.output.split())


def judged(database: Engine, now: Any = DURING) -> None:
    """Index up to ``now``, then plan, judge and rank."""
    build.execute(database, "delete from pipeline.checkpoints")
    build.execute(database, "delete from pipeline.chain_blocks")
    build.insert(
        database,
        "pipeline.chain_blocks",
        chain_id=CHAIN_ID,
        number=900,
        hash=HASH,
        parent_hash=HASH,
        timestamp=ts(now),
    )
    build.insert(
        database,
        "pipeline.checkpoints",
        chain_id=CHAIN_ID,
        stream="live",
        block_number=900,
        block_hash=HASH,
        first_block=1,
    )
    refresh_plans(database, POLICY)
    judge.judge(database, DAY, now)
    rank.rank(database, DAY, now)


def ten_km(database: Engine, *distances: float, **columns: Any) -> None:
    """Challenge 8: wallet n staked and ran the n-th distance."""
    build.challenge(database, 8, build.distance_rule(10), **columns)
    for number, km in enumerate(distances, start=1):
        build.stake(database, 8, wallet(number), wei=1_500_000_000_000_000_001)
        build.evidence(database, 8, wallet(number), [run(km)])


def race(database: Engine, *distances: float, top_n: int = 1) -> None:
    """Challenge 7: wallet n staked, and submitted the n-th distance n seconds into a day."""
    build.challenge(database, 7, build.competitive(top_n))
    for number, km in enumerate(distances, start=1):
        build.stake(database, 7, wallet(number))
        at = STARTS + timedelta(days=2, seconds=number)
        build.evidence(database, 7, wallet(number), [run(km)], at=at)


def test_passed_and_claimable_once_it_is_a_winner_on_chain(database: Engine) -> None:
    ten_km(database, 12)
    judged(database)
    text = explain(8, A)
    assert "Passed: the evidence shows what the challenge asks." in text
    assert "Fitness: at least 10 km in total." in text
    assert "Measured 12 km; 10 needed. " in text
    assert "final yes" in text
    assert "stake 1.500000000000000001 LCAI" in text
    assert "Not final: the chain has no outcome yet" in text
    assert "As of block 900, 2026-03-04 00:00:00 UTC" in text

    build.binding(database, 8, A)
    build.chain_winner(database, 8, A)
    build.execute(database, "update public.challenges set chain_outcome = 1, status = 'Finalized'")
    build.execute(database, "update pipeline.chain_challenges set outcome = 1")
    text = explain(8, A)
    assert f"binding to request 1, transaction {HASH}" in text
    assert f"winner on chain yes, transaction {HASH}" in text
    assert "Claimable (claimWinner)" in text
    assert "own claim call decides" in text


def test_failed_says_what_was_measured_and_until_when_more_can_be_submitted(
    database: Engine,
) -> None:
    ten_km(database, 4)
    judged(database)
    text = explain(8, A)
    assert "Failed: The total is 4 km" in text
    assert "Measured 4 km; 10 needed." in text
    assert "Provisional until the proof deadline, 2026-03-09 00:00:00 UTC" in text
    assert "does not pass, so nothing is claimable as it stands" in text


def test_a_failed_outcome_on_chain_leaves_no_reward_whatever_the_verdict_says(
    database: Engine,
) -> None:
    ten_km(database, 12)
    judged(database)
    build.execute(database, "update public.challenges set chain_outcome = 2, status = 'Finalized'")
    text = explain(8, A)
    assert "No reward: the challenge failed on chain" in text
    assert "challenges.chain_outcome is 2, the indexed chain says null" in text


def test_won_and_claimed_comes_before_everything_else(database: Engine) -> None:
    race(database, 5, 20)
    judged(database, CLOSES)
    build.insert(
        database,
        "public.claims",
        challenge_id=7,
        subject=B.upper().replace("0X", "0x"),
        claim_type="winner",
        amount_wei=2 * 10**18,
        tx_hash="0xfeed",
        source="indexer",
        claimed_at=DEADLINE,
    )
    text = explain(7, B)
    assert "Won: rank 1 of 2; the best one with a score above 0 wins." in text
    assert f"Just below: rank 2, {A}, score 5." in text
    assert "Claimed: winner's reward" in text
    assert "2 LCAI: winner's reward, granted by ChallengePay, 2026-03-09 00:00:00 UTC" in text
    assert "transaction 0xfeed" in text
    assert "2 LCAI granted and not yet withdrawn" in text


def test_lost_by_a_tie_break_names_both_times(database: Engine) -> None:
    race(database, 9, 9, 3)
    judged(database, CLOSES)
    text = explain(7, B)
    assert "Lost: rank 2 of 3; the best one with a score above 0 wins. The tie decided:" in text
    assert f"{A} and {B} both have a score of 9." in text
    assert f"{A} submitted at 2026-03-03 00:00:01 UTC, {B} at 2026-03-03 00:00:02 UTC" in text
    assert "0:00:01 later" in text
    assert "The ranking is closed and will not change: 3 ranked, 1 win." in text
    assert "fails by the ranking; the evidence itself passes" in text
    assert "The ranking does not have the wallet win" in text
    assert "The tie decided" not in explain(7, A)
    assert "The tie decided" not in explain(7, wallet(3))


def test_an_open_ranking_says_until_when_it_is_provisional(database: Engine) -> None:
    race(database, 9, 12)
    judged(database)
    text = explain(7, A)
    assert "As it stands would not win: rank 2 of 2" in text
    assert "The ranking is provisional until 2026-03-08 22:00:00 UTC" in text


def test_no_evidence(database: Engine) -> None:
    ten_km(database, 12)
    build.stake(database, 8, C)
    judged(database)
    text = explain(8, C)
    assert "No evidence: nothing was submitted by this wallet" in text
    assert "There is no verdict." in text


def test_no_stake(database: Engine) -> None:
    race(database, 5)
    ten_km(database)
    for challenge_id in (7, 8):
        build.evidence(database, challenge_id, C, [run(50)])
        build.insert(
            database,
            "public.participants",
            challenge_id=challenge_id,
            subject=C,
            source="evidence_intake",
        )
    judged(database, CLOSES)
    text = explain(7, C)
    assert "Not ranked: this wallet has no stake on chain, and only stakes are ranked." in text
    assert "No stake on chain. It is a participant because it submitted evidence." in text
    assert "Nothing to claim: this wallet has no stake" in text
    text = explain(8, C)
    assert "Passed: " in text
    assert "has no stake on chain, so it can win nothing here" in text


def test_evidence_after_the_ranking_closed(database: Engine) -> None:
    race(database, 5)
    judged(database, CLOSES)
    build.stake(database, 7, C)
    build.evidence(database, 7, C, [run(50)], at=CLOSES + timedelta(minutes=1))
    judged(database, CLOSES + timedelta(minutes=2))
    text = explain(7, C)
    assert "Not ranked: its first evidence came at 2026-03-08 22:01:00 UTC, after" in text


def test_a_canceled_challenge_gives_the_stake_back(database: Engine) -> None:
    ten_km(database, 4, chain_status="Canceled")
    judged(database)
    text = explain(8, A)
    assert "status Canceled" in text
    assert "the stake can be claimed back (claimRefund)" in text


def test_every_provider_has_its_part(database: Engine) -> None:
    ten_km(database)
    build.stake(database, 8, A)
    records = [run(12), run(1, distance_km=-4), {"type": "zumba", "start": 1}]
    build.evidence(database, 8, A, [run(3)], at=STARTS + timedelta(days=1))
    build.evidence(database, 8, A, records)
    build.evidence(database, 8, A, [run(4)], provider="Garmin")
    judged(database)
    build.evidence(database, 8, A, [run(5)], provider="fitbit")
    text = explain(8, A)
    assert "(passes, and decides the verdict): 3 records, 1 recognised; rejected: distance_km" in (
        text
    )
    assert "(replaced by a later one): 1 record" in text
    assert "(fails; another one is better): 1 record, 1 recognised; score 4." in text
    assert "(not in the verdict): 1 record, 1 recognised; score 5." in text


def test_only_the_newest_of_many_replaced_submissions_are_listed(database: Engine) -> None:
    ten_km(database)
    for hour in range(30):
        build.evidence(database, 8, A, [run(hour + 1)], at=STARTS + timedelta(hours=hour))
    judged(database)
    text = explain(8, A)
    assert text.count("replaced by a later one") == 10
    assert "and 19 older ones, all replaced" in text


def test_a_wallet_in_any_case_and_one_that_is_not_in_the_challenge(database: Engine) -> None:
    ten_km(database)
    build.stake(database, 8, C)
    judged(database)
    assert explain(8, C.upper()) == explain(8, C)
    assert f"Unknown wallet: {A} is not in challenge 8." in explain(8, A)
    assert "no wallet address" in explain(8, "somebody")


def test_everybody_in_a_challenge_is_in_its_summary_in_full(database: Engine) -> None:
    race(database, 5, 20)
    build.stake(database, 7, wallet(4))
    build.evidence(database, 7, C, [run(50)], provider="garmin")
    build.insert(database, "public.participants", challenge_id=7, subject=wallet(5))
    judged(database, CLOSES)
    result = invoke(7)
    assert result.exit_code == 0
    rows = {
        line.split()[0]: line.split()[1:]
        for line in result.output.splitlines()
        if line.strip().startswith("0x")
    }
    assert rows == {
        B: ["1", "LCAI", "strava", "pass", "20", "1", "wins", "-", "not", "final"],
        A: ["1", "LCAI", "strava", "fail", "5", "2", "-", "not", "final"],
        wallet(4): ["1", "LCAI", "none", "-", "-", "-", "-", "not", "final"],
        C: ["none", "garmin", "fail", "50", "-", "-", "none"],
        wallet(5): ["none", "none", "-", "-", "-", "-", "none"],
    }
    assert "Wallets (5)" in result.output
    assert "ranking closes 2026-03-08 22:00:00 UTC" in " ".join(result.output.split())


def test_a_narrow_terminal_gets_colours_and_every_digit(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ten_km(database, 12)
    judged(database)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm-256color")
    page = Page()
    page.challenge(explain_challenge(database, 8))
    assert "\x1b[1mWallets (1)\x1b[0m" in page.text()
    assert A in page.text()
    assert "…" not in page.text()


def test_an_unknown_challenge_is_one_line_and_status_1(database: Engine) -> None:
    for arguments in ([9], [9, A], [0]):
        result = invoke(*arguments)
        assert (result.exit_code, result.stdout) == (1, "")
        assert f"there is no challenge {arguments[0]}" in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_a_challenge_that_the_chain_does_not_show_yet(database: Engine) -> None:
    build.challenge(database, 8, build.distance_rule(10), chain=False)
    build.evidence(database, 8, A, [run(12)])
    refresh_plans(database, POLICY)
    text = explain(8, A)
    assert "Not judged yet: there is evidence" in text
    assert "The chain's own record of this challenge is not indexed" in text
    assert "Nothing of the chain is indexed yet." in text


def test_texts_from_strangers_move_no_cursor_and_odd_rows_stop_nothing(database: Engine) -> None:
    ten_km(database, title="Run\x1b[2J [bold]now[/bold]\r\n")
    build.stake(database, 8, A)
    build.evidence(database, 8, A, [run(12)], provider="str\x1bava")
    build.verdict(database, 8, A, metadata={"value": "x", "days": [1], "providers": "none"})
    build.verdict(database, 8, B, score=Decimal("NaN"), reasons=["\x1b[31m"], passed=False)
    text = explain(8, A)
    assert "Run·[2J [bold]now[/bold]" in text
    assert "Written by an earlier worker" in text
    assert "score NaN" in explain(8, B)
    assert "Wallets (2)" in explain(8)


def test_it_only_reads(database: Engine) -> None:
    race(database, 5, 20)
    judged(database, CLOSES)
    tables = "public.verdicts", "public.rankings", "pipeline.judgements", "pipeline.ranking_states"

    def everything() -> list[list[tuple[Any, ...]]]:
        return [
            build.rows(database, f"select xmin::text, * from {table} order by 2, 3")  # noqa: S608
            for table in tables
        ]

    before = everything()
    explain(7)
    explain(7, A)
    assert everything() == before


def test_the_end_of_the_challenge_makes_an_average_final(database: Engine) -> None:
    build.challenge(
        database,
        8,
        {
            "rules": {
                "type": "fitness",
                "metric": "distance_km",
                "threshold": 5,
                "period": "average",
            }
        },
    )
    build.stake(database, 8, A)
    build.evidence(database, 8, A, [run(6)])
    judged(database)
    assert "Provisional until the challenge ends, 2026-03-08 00:00:00 UTC" in explain(8, A)
    judged(database, ENDS)
    assert "final yes" in explain(8, A)
