"""Wallets that upload and have staked nothing."""

from __future__ import annotations

from lightchallenge_dagster.devnet.wallets import user
from tests import builders
from tests.scenarios.story import Story

ALICE, BOB, CAROL, STRANGER = user("alice"), user("bob"), user("carol"), user("stranger")


def test_a_participant_without_stake_does_not_break_the_batch(story: Story) -> None:
    challenge = story.challenge([ALICE, BOB, CAROL], params=builders.distance_rule(5))
    builders.insert(
        story.engine,
        "public.participants",
        challenge_id=challenge,
        subject=STRANGER.address,
        source="evidence_intake",
    )
    for runner in (BOB, CAROL, STRANGER):
        story.upload(challenge, runner, 6)
    story.run()
    assert story.winners(challenge, [ALICE, BOB, CAROL, STRANGER]) == [BOB.address, CAROL.address]
    assert story.bound(challenge, [STRANGER]) == []
    assert story.transactions("proof") == 1
    story.to_deadline(challenge)
    story.run()
    story.paid_out(challenge, [BOB, CAROL], [ALICE])


def test_an_unstaked_top_scorer_takes_nobodys_place(story: Story) -> None:
    challenge = story.competition([ALICE, BOB, CAROL], top_n=2)
    for runner, km in ((STRANGER, 50), (BOB, 9), (CAROL, 7), (ALICE, 3)):
        story.upload(challenge, runner, km)
    story.to_end(challenge)
    story.to_closing(challenge)
    story.run()
    assert [(row[0], row[1], row[3]) for row in story.ranking(challenge)] == [
        (BOB.address, 1, True),
        (CAROL.address, 2, True),
        (ALICE.address, 3, False),
    ]
    assert story.winners(challenge, [ALICE, BOB, CAROL, STRANGER]) == [BOB.address, CAROL.address]
    story.to_deadline(challenge)
    story.run()
    story.paid_out(challenge, [BOB, CAROL], [ALICE])
