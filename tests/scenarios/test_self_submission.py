"""A bound winner who does not wait for the pipeline: the proof is open to every participant."""

from __future__ import annotations

from lightchallenge_dagster.devnet.wallets import user
from lightchallenge_dagster.steps import health
from tests import builders
from tests.scenarios.story import Story

ALICE, BOB, CAROL, DAVE = user("alice"), user("bob"), user("carol"), user("dave")


def test_a_winner_who_is_faster_than_the_pipeline_has_won_and_nothing_is_wrong(
    story: Story,
) -> None:
    challenge = story.challenge([ALICE, BOB, CAROL, DAVE], params=builders.distance_rule(5))
    for runner in (BOB, CAROL, DAVE):
        story.upload(challenge, runner, 6)
    story.judge()
    story.requested(challenge)
    story.settle()
    story.answer()

    def submits(boundary: str, key: str) -> None:
        # Between the look at the chain and the transaction.
        if boundary == "planned" and ":batch:" in key and not story.winners(challenge, [BOB]):
            story.client.submit_my_proof(BOB, challenge, story.calldata(challenge, BOB))

    story.observe = submits
    story.settle()
    story.run()
    story.observe = lambda _boundary, _key: None
    story.retry_now()
    story.run()
    assert story.winners(challenge, [ALICE, BOB, CAROL, DAVE]) == [
        BOB.address,
        CAROL.address,
        DAVE.address,
    ]
    assert len(story.events("challengepay", "WinnerMarked")) == 3
    assert health.violations(story.engine, "intents_refused").rows == []
    story.to_deadline(challenge)
    story.run()
    story.paid_out(challenge, [BOB, CAROL, DAVE], [ALICE])
