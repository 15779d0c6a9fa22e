"""A request that the network lets run out of time, in each of its stages."""

from __future__ import annotations

import pytest

from lightchallenge_dagster.chain import abi
from lightchallenge_dagster.devnet.wallets import user
from lightchallenge_dagster.rules.requests import (
    CANCELLED,
    COMMITTED,
    REQUESTED,
    REVEALED,
    TIMED_OUT,
)
from tests import builders
from tests.scenarios.story import HOUR, Story

ALICE, BOB, CAROL = user("alice"), user("bob"), user("carol")


def until(story: Story, request_id: int, status: int) -> None:
    """The network goes on until the request is in that stage, and stands still."""
    for _ in range(20):
        if story.client.request(request_id).status == status:
            return
        story.network.step()
    raise AssertionError(f"request {request_id} is in {story.client.request(request_id).status}")


@pytest.mark.parametrize(
    ("stage", "over", "call"),
    [
        (REQUESTED, CANCELLED, "cancelExpired"),
        (COMMITTED, TIMED_OUT, "timeoutReveal"),
        (REVEALED, TIMED_OUT, "reclaimAfterFinalizeTimeout"),
    ],
)
def test_an_expired_request_gives_its_fee_back_and_its_winner_is_paid_by_the_next(
    story: Story, stage: int, over: int, call: str
) -> None:
    challenge = story.challenge(
        [ALICE, BOB, CAROL], params=builders.distance_rule(5), duration_s=24 * HOUR
    )
    story.upload(challenge, BOB, 6)
    story.judge()
    story.requested(challenge)
    story.settle()
    assert story.bound(challenge, [BOB]) == [BOB.address]
    first = int(story.proof(challenge)["taskBinding"]["requestId"])
    until(story, first, stage)
    story.client.travel(2 * HOUR)
    story.run()
    assert story.client.request(first).status == over
    assert called(story, "reclaim") == [abi.aivm_inference(call).encode(first)[:10]]
    second = int(story.proof(challenge)["taskBinding"]["requestId"])
    assert second != first
    assert len(story.events("aivm_inference", "InferenceRequestedV2")) == 2
    recorded = [
        (event.args["subject"].lower(), int(event.args["requestId"]))
        for event in story.events("task_registry", "BindingRecorded")
    ]
    assert recorded == [(BOB.address, first), (BOB.address, second)]
    assert story.winners(challenge, [ALICE, BOB, CAROL]) == [BOB.address]
    story.to_deadline(challenge)
    story.run()
    story.paid_out(challenge, [BOB], [ALICE, CAROL])


def called(story: Story, kind: str) -> list[str]:
    """Selectors of the mined transactions of one kind."""
    return [
        data[:10]
        for (data,) in builders.rows(
            story.engine,
            """
            select i.data from pipeline.intents i
              join pipeline.transactions t on t.intent_key = i.key and t.receipt_status = 1
             where i.kind = :kind
            """,
            kind=kind,
        )
    ]
