"""A wallet that is bound and has not won: whoever is bound can prove it for themselves."""

from __future__ import annotations

from lightchallenge_dagster.devnet.wallets import user
from tests import builders
from tests.scenarios.story import Story

ALICE, BOB, CAROL = user("alice"), user("bob"), user("carol")


def test_a_bound_loser_is_unbound_first_and_cannot_win_by_submitting_for_themselves(
    story: Story,
) -> None:
    challenge = story.challenge([ALICE, BOB, CAROL], params=builders.distance_rule(5))
    story.upload(challenge, BOB, 6)
    story.upload(challenge, ALICE, 1)
    story.judge()
    story.requested(challenge)
    # As an earlier worker did it: whoever made the challenge is bound, winner or not.
    request_id = int(story.proof(challenge)["taskBinding"]["requestId"])
    worker = story.world.deployment.worker
    story.client.bind(worker, challenge, ALICE.address, request_id)
    story.follow()
    assert story.bound(challenge, [ALICE, BOB, CAROL]) == [ALICE.address]
    assert story.work()[0] == ("clear", ALICE.address)
    story.settle()
    cleared, recorded = (
        story.events("task_registry", name)[-1].block_number
        for name in ("BindingCleared", "BindingRecorded")
    )
    assert cleared <= recorded
    story.run()
    for wallet in (ALICE, CAROL):
        proof = story.calldata(challenge, wallet)
        assert not story.client.verifies(challenge, wallet.address, proof)
        story.client.submit_my_proof(wallet, challenge, proof)
    assert story.winners(challenge, [ALICE, BOB, CAROL]) == [BOB.address]
    story.to_deadline(challenge)
    story.run()
    story.paid_out(challenge, [BOB], [ALICE, CAROL])


def test_a_loser_of_a_competition_who_was_bound_too_early_is_unbound(story: Story) -> None:
    challenge = story.competition([ALICE, BOB, CAROL], top_n=1, proof_window_s=4 * 3600)
    story.upload(challenge, BOB, 9)
    story.to_end(challenge)
    story.run()
    # Somebody binds the leader while the ranking is still provisional.
    request_id = int(story.proof(challenge)["taskBinding"]["requestId"])
    worker = story.world.deployment.worker
    story.client.bind(worker, challenge, BOB.address, request_id)
    story.upload(challenge, CAROL, 12)
    story.run()
    assert story.bound(challenge, [ALICE, BOB, CAROL]) == []
    story.client.submit_my_proof(BOB, challenge, story.calldata(challenge, BOB))
    story.to_closing(challenge)
    story.run()
    assert story.winners(challenge, [ALICE, BOB, CAROL]) == [CAROL.address]
    story.to_deadline(challenge)
    story.run()
    story.paid_out(challenge, [CAROL], [ALICE, BOB])
