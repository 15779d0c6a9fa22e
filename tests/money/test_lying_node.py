"""A node may say what it wants: every effect once, every winner paid, no nonce stuck."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from lightchallenge_dagster.devnet.deploy import Deployment
from tests.money.lying_kinds import KINDS
from tests.money.lying_story import Story
from tests.money.lying_world import lied_to

LYING_ROUNDS = 2
COMPANIONS = {
    "receipt_orphaned": ["reorg_moved"],
    "transaction_unknown": ["send_taken_nonce_low"],
    "past_count_high": ["send_nonce_low"],
}
"""Lies that nobody would hear without another."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_lie_at_every_occasion_costs_time_and_nothing_else(
    database: Engine, devnet: Deployment, kind: str
) -> None:
    with lied_to(database, devnet, kind, timeout_s=0.3 if "hang" in kind else 5.0) as money:
        story = Story.of_one(money)

        def lie_at_first(number: int) -> None:
            if number < LYING_ROUNDS:
                money.node.lie(kind, *COMPANIONS.get(kind, ()))
            else:
                money.node.tell_the_truth()

        story.before_round = lie_at_first
        story.tell(in_parts=True)
        story.check()
        assert money.node.counts[kind] > 0


@pytest.mark.parametrize("seed", range(20))
def test_a_node_that_lies_in_every_way_makes_no_double_effect_and_loses_no_winner(
    database: Engine, devnet: Deployment, seed: int
) -> None:
    with lied_to(database, devnet, seed) as money:
        story = Story.of_two(money)
        money.node.mix()
        story.tell()
        story.check()


def test_an_honest_node_tells_the_same_story(database: Engine, devnet: Deployment) -> None:
    with lied_to(database, devnet) as money:
        story = Story.of_two(money)
        story.tell()
        story.check()
        assert money.failed == []
