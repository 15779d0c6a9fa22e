"""A node may say what it wants: every effect once, every winner paid, no nonce stuck."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from lightchallenge_dagster.devnet.deploy import Deployment
from tests.money.lying_story import Story
from tests.money.lying_world import lied_to


@pytest.mark.parametrize("seed", range(20))
def test_a_node_that_lies_in_every_way_makes_no_double_effect_and_loses_no_winner(
    database: Engine, devnet: Deployment, seed: int
) -> None:
    with lied_to(database, devnet, seed) as money:
        story = Story.begin(money)
        money.node.mix()
        story.tell()
        story.check()


def test_an_honest_node_tells_the_same_story(database: Engine, devnet: Deployment) -> None:
    with lied_to(database, devnet) as money:
        story = Story.begin(money)
        story.tell()
        story.check()
        assert money.failed == []
