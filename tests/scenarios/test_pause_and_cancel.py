"""A challenge that is paused, and one that is canceled."""

from __future__ import annotations

from lightchallenge_dagster.devnet.wallets import user
from tests import builders
from tests.scenarios.story import Story

ALICE, BOB = user("alice"), user("bob")


def test_a_paused_challenge_waits_and_is_paid_when_it_goes_on(story: Story) -> None:
    challenge = story.challenge([ALICE, BOB], params=builders.distance_rule(5))
    story.upload(challenge, BOB, 6)
    story.client.pause(challenge)
    story.run()
    assert story.events("aivm_inference", "InferenceRequestedV2") == []
    assert story.events("task_registry", "BindingRecorded") == []
    story.client.pause(challenge, False)
    story.follow()
    story.judge()
    story.requested(challenge)
    story.settle()
    story.answer()
    # Paused again, now that only the proof is missing.
    story.client.pause(challenge)
    story.run()
    assert story.transactions("proof") == 0
    story.client.pause(challenge, False)
    story.retry_now()
    story.run()
    assert story.winners(challenge, [ALICE, BOB]) == [BOB.address]
    story.to_deadline(challenge)
    story.run()
    story.paid_out(challenge, [BOB], [ALICE])


def test_a_paused_challenge_is_not_finalized_before_it_goes_on(story: Story) -> None:
    challenge = story.challenge([ALICE, BOB], params=builders.distance_rule(5))
    story.client.pause(challenge)
    story.to_deadline(challenge)
    story.run()
    assert story.client.challenge(challenge).status == 0
    story.client.pause(challenge, False)
    story.retry_now()
    story.run()
    story.paid_out(challenge, [], [ALICE, BOB])


def test_a_canceled_challenge_cancels_its_job_and_gives_every_stake_back(story: Story) -> None:
    challenge = story.challenge([ALICE, BOB], params=builders.distance_rule(5))
    story.upload(challenge, BOB, 6)
    story.judge()
    assert story.dispatch().queued == [challenge]
    story.client.cancel(ALICE, challenge)
    story.run()
    assert story.job(challenge)["status"] == "canceled"
    assert story.events("aivm_inference", "InferenceRequestedV2") == []
    story.to_deadline(challenge)
    story.run()
    assert story.events("challengepay", "Finalized") == []
    for wallet in (ALICE, BOB):
        assert story.client.claim_refund(wallet, challenge) == 10**18
    story.follow()
    story.sound()


def test_a_challenge_canceled_while_its_request_is_out_binds_nobody(story: Story) -> None:
    challenge = story.challenge([ALICE, BOB], params=builders.distance_rule(5))
    story.upload(challenge, BOB, 6)
    story.judge()
    story.requested(challenge)
    story.client.cancel(ALICE, challenge)
    story.run()
    assert story.events("task_registry", "BindingRecorded") == []
    assert story.transactions("proof") == 0
    story.sound()
