"""A winner whose proof did not get onto the chain in time."""

from __future__ import annotations

from lightchallenge_dagster.devnet.wallets import user
from lightchallenge_dagster.steps import health
from lightchallenge_dagster.steps.finalize import held_back
from tests import builders
from tests.scenarios.story import Story

ALICE, BOB, CAROL = user("alice"), user("bob"), user("carol")


def test_a_missed_winner_holds_finalize_back_until_the_deadline_is_extended(story: Story) -> None:
    challenge = story.challenge([ALICE, BOB, CAROL], params=builders.distance_rule(5))
    story.upload(challenge, BOB, 6)
    story.upload(challenge, CAROL, 8)
    # The pipeline sleeps through the whole proof window.
    story.to_deadline(challenge)
    story.client.travel(600)
    story.run()
    (held,) = held_back(story.engine, story.now())
    assert held.missing == sorted([BOB.address, CAROL.address])
    missing = health.violations(story.engine, "winners_missing_on_chain").rows
    assert {row[1] for row in missing} == {BOB.address, CAROL.address}
    assert story.client.challenge(challenge).status == 0
    story.client.move_proof_deadline(challenge, story.now() + 3600)
    story.run()
    assert story.winners(challenge, [ALICE, BOB, CAROL]) == [BOB.address, CAROL.address]
    story.to_deadline(challenge)
    story.run()
    story.paid_out(challenge, [BOB, CAROL], [ALICE])
