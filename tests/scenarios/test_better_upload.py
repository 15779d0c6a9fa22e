"""The proof window: a better upload still counts, until the ranking closes."""

from __future__ import annotations

from lightchallenge_dagster.devnet.wallets import user
from tests.scenarios.story import HOUR, Story

ALICE, BOB, CAROL = user("alice"), user("bob"), user("carol")


def test_a_better_upload_in_the_proof_window_changes_who_wins_and_one_after_the_close_does_not(
    story: Story,
) -> None:
    challenge = story.competition([ALICE, BOB, CAROL], top_n=1, proof_window_s=4 * HOUR)
    story.upload(challenge, BOB, 9)
    story.upload(challenge, CAROL, 7)
    story.to_end(challenge)
    # The request goes out at the end and nobody is bound: the ranking is provisional.
    story.run()
    assert story.ranking_state(challenge) == "provisional"
    assert story.ranking(challenge)[0][0] == BOB.address
    assert len(story.events("aivm_inference", "InferenceRequestedV2")) == 1
    assert story.events("task_registry", "BindingRecorded") == []
    story.client.travel(HOUR)
    story.upload(challenge, CAROL, 12)
    story.run()
    assert story.ranking(challenge)[0][0] == CAROL.address
    story.to_closing(challenge)
    story.rank()
    assert story.ranking_state(challenge) == "closed"
    story.client.travel(60)
    story.upload(challenge, ALICE, 50)
    story.run()
    assert story.ranking(challenge)[0][0] == CAROL.address
    assert story.winners(challenge, [ALICE, BOB, CAROL]) == [CAROL.address]
    story.to_deadline(challenge)
    story.run()
    story.paid_out(challenge, [CAROL], [ALICE, BOB])
