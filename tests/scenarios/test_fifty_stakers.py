"""A competition of fifty: the best twenty win, in a handful of transactions."""

from __future__ import annotations

from tests.scenarios.story import Story, crowd


def test_the_best_twenty_of_fifty_win_in_at_most_three_proof_transactions(story: Story) -> None:
    runners = crowd(50)
    challenge = story.competition(runners, top_n=20)
    # The creator is the slowest; everybody else is faster than the one before.
    for number, runner in enumerate(runners):
        story.upload(challenge, runner, 1 + number / 10)
    story.judge()
    story.to_end(challenge)
    story.to_closing(challenge)
    story.run()
    best = runners[30:]
    assert story.winners(challenge, runners) == [runner.address for runner in best]
    assert story.bound(challenge, runners) == [runner.address for runner in best]
    assert 1 <= story.transactions("proof") <= 3
    assert len(story.events("challengepay", "WinnerMarked")) == 20
    assert len(story.events("aivm_inference", "InferenceRequestedV2")) == 1
    assert story.ranking_state(challenge) == "frozen"
    story.to_deadline(challenge)
    story.run()
    story.paid_out(challenge, best, runners[:30])
