"""Rows that no proof or binding can be written from stop themselves, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from lightchallenge_dagster.devnet.deploy import Deployment
from lightchallenge_dagster.devnet.wallets import Wallet
from lightchallenge_dagster.rules.proof import decode_proof
from tests import builders
from tests.steps.index_world import open_world
from tests.steps.money_world import Money, users
from tests.steps.test_settle import a_competition, ranking_state

ALICE, BOB, CAROL = users("alice", "bob", "carol")

#: The last day that has four digits for its year, in epoch seconds.
LATEST_TS = 253402214400


@pytest.fixture
def money(database: Engine, devnet: Deployment) -> Iterator[Money]:
    for world in open_world(database, devnet):
        yield Money.of(world)


@pytest.mark.parametrize(
    ("moment", "told_ts"),
    [
        ("1969-12-31 23:59:59+00", 0),
        ("4000-01-01 BC", 0),
        ("-infinity", 0),
        ("1970-01-01 00:00:01+00", 1),
        ("20000-01-01", LATEST_TS),
        ("infinity", LATEST_TS),
    ],
)
@pytest.mark.parametrize("winner", [ALICE, BOB], ids=["its own subject", "another"])
def test_a_verdict_of_a_time_that_no_proof_can_hold_is_proved_with_the_nearest_that_one_can(
    money: Money, winner: Wallet, moment: str, told_ts: int
) -> None:
    strange = money.challenge([ALICE, BOB])
    good = money.challenge([ALICE, CAROL])
    money.passes(strange, winner)
    money.passes(good, CAROL)
    builders.execute(
        money.engine,
        "update public.verdicts set created_at = cast(:moment as timestamptz),"
        " updated_at = cast(:moment as timestamptz) where challenge_id = :id",
        moment=moment,
        id=strange,
    )
    assert money.dispatch().queued == [strange, good]
    assert money.request().submitted == [strange, good]
    money.follow()
    money.settle()
    money.answer()
    report = money.settle()
    assert report.proved == [f"{strange}:{winner.address}", f"{good}:{CAROL.address}"]
    assert money.winners(strange, [winner]) == [winner.address]
    assert evaluated_ts(money, strange) == told_ts


def evaluated_ts(money: Money, challenge: int) -> int:
    """What the challenge's one proof says about when it was judged."""
    ((data,),) = builders.rows(
        money.engine,
        "select data from pipeline.intents where kind = 'proof' and challenge_id = :id",
        id=challenge,
    )
    # The selector, three words in front of the bytes, and their length.
    return decode_proof(bytes.fromhex(data[2:])[4 + 4 * 32 :]).evaluated_ts


def spoil(money: Money, challenge: int, table: str) -> None:
    """Make the challenge's rows in a table of ours something that is no hash."""
    builders.execute(
        money.engine,
        f"update pipeline.{table} set model_digest = 'none' where request_id = :id",  # noqa: S608
        id=int(money.proof(challenge)["taskBinding"]["requestId"]),
    )


def two_requested(money: Money) -> tuple[int, int]:
    """Two challenges with a winner each: Bob's, which is to be spoiled, and Carol's."""
    strange, good = money.challenge([ALICE, BOB]), money.challenge([ALICE, CAROL])
    money.passes(strange, BOB)
    money.passes(good, CAROL)
    assert money.dispatch().queued == [strange, good]
    assert money.request().submitted == [strange, good]
    money.follow()
    return strange, good


def test_a_binding_that_cannot_be_written_is_refused_by_name_and_the_others_are_bound(
    money: Money,
) -> None:
    strange, good = two_requested(money)
    digest = money.world.contracts.request(1).model_digest
    spoil(money, strange, "inference_requests")
    report = money.settle()
    assert report.bound == [f"{good}:{CAROL.address}"]
    (refused,) = report.refused
    assert refused.startswith(f"{strange}:{BOB.address}: its binding cannot be written: ")
    assert money.work() == []
    builders.execute(
        money.engine, "update pipeline.inference_requests set model_digest = :it", it=digest
    )
    money.retry_now()
    assert money.settle().bound == [f"{strange}:{BOB.address}"]


def test_a_proof_that_cannot_be_written_is_refused_by_name_and_the_others_are_proved(
    money: Money,
) -> None:
    strange, good = two_requested(money)
    assert len(money.settle().bound) == 2
    money.answer()
    for table in ("inference_requests", "bindings"):
        spoil(money, strange, table)
    report = money.settle()
    assert report.proved == [f"{good}:{CAROL.address}"]
    (refused,) = report.refused
    assert refused.startswith(f"{strange}:{BOB.address}: its proof cannot be written: ")
    assert money.work() == []
    assert money.winners(strange, [BOB]) == []


def test_a_binding_that_cannot_be_written_freezes_no_ranking(money: Money) -> None:
    challenge = a_competition(money, {ALICE: 3, BOB: 9}, top_n=1)
    spoil(money, challenge, "inference_requests")
    report = money.settle()
    assert (report.bound, report.frozen, len(report.refused)) == ([], [], 1)
    assert ranking_state(money) == "closed"
