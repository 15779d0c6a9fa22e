"""A proof deadline that leaves no time after the end."""

from __future__ import annotations

from lightchallenge_dagster.devnet.wallets import user
from lightchallenge_dagster.steps import health
from tests.scenarios.story import Story

ALICE, BOB, CAROL = user("alice"), user("bob"), user("carol")


def test_a_deadline_at_the_end_is_reported_at_creation_closes_early_and_is_paid(
    story: Story,
) -> None:
    challenge = story.competition([ALICE, BOB, CAROL], top_n=1, proof_window_s=0)
    chain = story.client.challenge(challenge)
    assert chain.proof_deadline_ts == chain.end_ts
    (found,) = health.violations(story.engine, "ranking_window_fits").rows
    assert found[0] == challenge
    (closes,) = story.plan(challenge, "ranking_closes_at")
    assert int(closes.timestamp()) == chain.end_ts - 600
    story.upload(challenge, BOB, 9)
    story.upload(challenge, CAROL, 7)
    story.run()
    assert story.ranking_state(challenge) == "provisional"
    story.to_closing(challenge)
    story.run()
    assert story.ranking_state(challenge) == "frozen"
    assert story.winners(challenge, [ALICE, BOB, CAROL]) == [BOB.address]
    story.to_deadline(challenge)
    story.run()
    story.paid_out(challenge, [BOB], [ALICE, CAROL])
