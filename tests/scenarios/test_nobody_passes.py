"""Nobody wins."""

from __future__ import annotations

from lightchallenge_dagster.devnet.wallets import user
from tests import builders
from tests.scenarios.story import Story

ALICE, BOB = user("alice"), user("bob")


def test_a_challenge_nobody_passes_is_finalized_without_a_request(story: Story) -> None:
    challenge = story.challenge([ALICE, BOB], params=builders.distance_rule(5))
    story.upload(challenge, ALICE, 3)
    story.upload(challenge, BOB, 4)
    story.to_deadline(challenge)
    story.run()
    assert story.events("aivm_inference", "InferenceRequestedV2") == []
    story.paid_out(challenge, [], [ALICE, BOB])


def test_a_competition_nobody_enters_is_finalized_without_a_request(story: Story) -> None:
    challenge = story.competition([ALICE, BOB], top_n=1)
    story.to_end(challenge)
    story.run()
    story.to_deadline(challenge)
    story.run()
    assert story.events("aivm_inference", "InferenceRequestedV2") == []
    story.paid_out(challenge, [], [ALICE, BOB])
