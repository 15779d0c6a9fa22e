"""Two pipelines run by mistake on one database, with the same keys."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from lightchallenge_dagster.devnet.deploy import Deployment
from lightchallenge_dagster.devnet.wallets import user
from lightchallenge_dagster.errors import TransientError
from lightchallenge_dagster.storage.database import connect
from tests import builders
from tests.scenarios.story import Story
from tests.steps.index_world import open_world

RUNNERS = [user(name) for name in ("alice", "bob", "carol", "dave", "erin", "frank")]
ALICE, BOB, CAROL, DAVE, ERIN, FRANK = RUNNERS


@pytest.fixture
def other(database_url: str, devnet: Deployment) -> Iterator[Story]:
    """Another process's view of the same deployment."""
    engine = connect(database_url)
    for world in open_world(engine, devnet):
        yield Story.of(world)
    engine.dispose()


def both(story: Story, other: Story, *, rounds: int) -> None:
    """All steps in both pipelines, each step begun by both at once."""
    for _ in range(rounds):
        together = threading.Barrier(2)
        failed: list[BaseException] = []

        def pipeline(mine: Story, together: threading.Barrier, failed: list[BaseException]) -> None:
            for step in mine.steps():
                together.wait(60)
                try:
                    step()
                except TransientError:
                    continue  # the other one was first: its work is done
                except BaseException as error:
                    failed.append(error)
                    together.abort()
                    raise

        threads = [
            threading.Thread(target=pipeline, args=(one, together, failed), daemon=True)
            for one in (story, other)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert failed == []
        assert not any(thread.is_alive() for thread in threads)
        story.network.step()
        story.retry_now()


def test_two_pipelines_on_one_database_do_no_harm(story: Story, other: Story) -> None:
    race = story.competition(RUNNERS, top_n=2)
    distance = story.challenge(RUNNERS[:4], params=builders.distance_rule(5))
    for runner, km in zip(RUNNERS, (3, 9, 7, 5, 4, 2), strict=True):
        story.upload(race, runner, km)
    for runner in (BOB, CAROL, DAVE):
        story.upload(distance, runner, 6)
    story.upload(distance, ALICE, 1)
    both(story, other, rounds=6)
    assert story.winners(distance, RUNNERS) == [BOB.address, CAROL.address, DAVE.address]
    story.to_end(race)
    story.to_closing(race)
    both(story, other, rounds=6)
    assert story.winners(race, RUNNERS) == [BOB.address, CAROL.address]
    story.to_deadline(race)
    story.to_deadline(distance)
    both(story, other, rounds=3)
    story.run()
    # One effect each, however many wanted it.
    assert len(story.events("aivm_inference", "InferenceRequestedV2")) == 2
    assert len(story.events("task_registry", "BindingRecorded")) == 5
    assert len(story.events("challengepay", "WinnerMarked")) == 5
    assert sorted(e.args["id"] for e in story.events("challengepay", "Finalized")) == [
        race,
        distance,
    ]
    assert story.transactions("proof") == 2
    assert story.world.rows(
        "select hash from pipeline.transactions where receipt_status is distinct from 1"
    ) == []  # fmt: skip
    story.paid_out(distance, [BOB, CAROL, DAVE], [ALICE])
    story.paid_out(race, [BOB, CAROL], [ALICE, DAVE, ERIN, FRANK])
