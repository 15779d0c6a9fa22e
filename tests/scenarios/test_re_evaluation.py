"""Judged again between the ranking and the payment: what was settled stays."""

from __future__ import annotations

from lightchallenge_dagster.devnet.wallets import user
from lightchallenge_dagster.steps import judge
from tests import builders
from tests.scenarios.story import Story

ALICE, BOB, CAROL = user("alice"), user("bob"), user("carol")


def test_a_re_evaluation_between_ranking_and_submission_changes_nothing(story: Story) -> None:
    challenge = story.competition([ALICE, BOB, CAROL], top_n=1)
    for runner, km in ((ALICE, 3), (BOB, 9), (CAROL, 7)):
        story.upload(challenge, runner, km)
    story.judge()
    story.to_end(challenge)
    story.to_closing(challenge)
    story.rank()
    settled = story.ranking(challenge)
    assert settled[0][0] == BOB.address
    # Everything is judged anew, from better uploads of others, in full and with new metadata.
    story.upload(challenge, CAROL, 30)
    (partition,) = story.plan(challenge, "partition_key")
    judge.judge(story.engine, partition, story.chain_now(), full=True)
    story.rank()
    assert story.ranking(challenge) == settled
    story.requested(challenge)
    story.settle()
    judge.judge(story.engine, partition, story.chain_now(), full=True, overwrite_settled=True)
    story.run()
    assert story.ranking(challenge) == settled
    assert story.winners(challenge, [ALICE, BOB, CAROL]) == [BOB.address]
    assert story.bound(challenge, [ALICE, BOB, CAROL]) == [BOB.address]
    story.to_deadline(challenge)
    story.run()
    story.paid_out(challenge, [BOB], [ALICE, CAROL])


def test_a_bound_winner_stays_one_although_a_worse_upload_follows(story: Story) -> None:
    challenge = story.challenge([ALICE, BOB], params=builders.distance_rule(5))
    story.upload(challenge, BOB, 6)
    story.judge()
    story.requested(challenge)
    story.settle()
    # The latest row of a provider replaces the one before it.
    story.upload(challenge, BOB, 1)
    story.run()
    assert story.winners(challenge, [ALICE, BOB]) == [BOB.address]
    story.to_deadline(challenge)
    story.run()
    story.paid_out(challenge, [BOB], [ALICE])
