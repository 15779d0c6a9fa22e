"""Somebody passes after the request went out."""

from __future__ import annotations

from lightchallenge_dagster.devnet.wallets import user
from tests import builders
from tests.scenarios.story import Story

ALICE, BOB, CAROL = user("alice"), user("bob"), user("carol")


def test_a_winner_whose_evidence_comes_after_the_request_is_paid_by_the_same_request(
    story: Story,
) -> None:
    challenge = story.challenge([ALICE, BOB, CAROL], params=builders.distance_rule(5))
    story.upload(challenge, BOB, 6)
    story.run()
    assert story.winners(challenge, [ALICE, BOB, CAROL]) == [BOB.address]
    # The last hour: the challenge is over, proofs are still taken.
    story.to_end(challenge)
    story.client.travel(3000)
    story.upload(challenge, CAROL, 7)
    story.run()
    assert story.winners(challenge, [ALICE, BOB, CAROL]) == [BOB.address, CAROL.address]
    assert len(story.events("aivm_inference", "InferenceRequestedV2")) == 1
    story.to_deadline(challenge)
    story.run()
    story.paid_out(challenge, [BOB, CAROL], [ALICE])


def test_a_winner_whose_evidence_comes_between_request_and_answer_is_paid_with_the_others(
    story: Story,
) -> None:
    challenge = story.challenge([ALICE, BOB, CAROL], params=builders.distance_rule(5))
    story.upload(challenge, BOB, 6)
    story.judge()
    story.requested(challenge)
    story.settle()
    story.upload(challenge, CAROL, 7)
    story.run()
    assert story.winners(challenge, [ALICE, BOB, CAROL]) == [BOB.address, CAROL.address]
    story.to_deadline(challenge)
    story.run()
    story.paid_out(challenge, [BOB, CAROL], [ALICE])
