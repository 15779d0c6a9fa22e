"""Rows that no proof or binding can be written from stop themselves, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from lightchallenge_dagster.devnet.deploy import Deployment
from lightchallenge_dagster.rules.proof import decode_proof
from tests import builders
from tests.steps.index_world import open_world
from tests.steps.money_world import Money, users

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
def test_a_verdict_of_a_time_that_no_proof_can_hold_is_proved_with_the_nearest_that_one_can(
    money: Money, moment: str, told_ts: int
) -> None:
    strange = money.challenge([ALICE, BOB])
    good = money.challenge([ALICE, CAROL])
    money.passes(strange, BOB)
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
    assert report.proved == [f"{strange}:{BOB.address}", f"{good}:{CAROL.address}"]
    assert money.winners(strange, [BOB]) == [BOB.address]
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
