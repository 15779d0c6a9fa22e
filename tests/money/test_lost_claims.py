"""A worker that was silent for too long has lost its job to another, and goes on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from lightchallenge_dagster.devnet.deploy import Deployment
from tests.money.world import time_passes
from tests.steps.index_world import open_world
from tests.steps.money_world import Money, users

ALICE, BOB = users("alice", "bob")


@pytest.fixture
def money(database: Engine, devnet: Deployment) -> Iterator[Money]:
    for world in open_world(database, devnet):
        yield Money.of(world)


@pytest.mark.parametrize("boundary", ["planned", "stored", "mined"])
def test_a_job_whose_claim_ran_out_is_reported_as_lost_and_noted_by_the_next_worker(
    money: Money, database_url: str, boundary: str
) -> None:
    challenges = [money.challenge([ALICE, BOB]) for _ in range(2)]
    for challenge in challenges:
        money.passes(challenge, BOB)
    money.dispatch()

    def too_late(reached: str, key: str) -> None:
        if (reached, key) == (boundary, f"request:{challenges[0]}:1"):
            time_passes(database_url)

    money.observe = too_late
    lost = money.request()
    assert sorted(lost.lost) == challenges
    money.observe = lambda _boundary, _key: None
    time_passes(database_url)
    noted = money.request()
    assert sorted(noted.submitted) == challenges
    assert len(money.events("aivm_inference", "InferenceRequestedV2")) == len(challenges)
