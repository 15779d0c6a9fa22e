"""What becomes of an inference request, second by second around each of its deadlines."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightchallenge_dagster.rules.proof import expected_response_hash
from lightchallenge_dagster.rules.requests import (
    CANCELLED,
    COMMITTED,
    DISPUTED,
    FINALIZED,
    REQUESTED,
    REVEALED,
    TIMED_OUT,
    Fate,
    RequestFacts,
    fate,
)

from .effort import examples

CHALLENGE = 42
NONE = 0
OTHER = "0x" + "0e" * 32
NOTHING = "0x" + "00" * 32
COMMIT, REVEAL, FINALIZE = 600, 1800, 5400

# The stages with a deadline: (status, deadline, the call that gives the fee back).
STAGES = [
    (REQUESTED, COMMIT, "cancelExpired"),
    (COMMITTED, REVEAL, "timeoutReveal"),
    (REVEALED, FINALIZE, "reclaimAfterFinalizeTimeout"),
    (DISPUTED, FINALIZE, "reclaimAfterFinalizeTimeout"),
]
ENDED = [NONE, FINALIZED, CANCELLED, TIMED_OUT]


def request(status: int, response_hash: str = NOTHING) -> RequestFacts:
    return RequestFacts(status, COMMIT, REVEAL, FINALIZE, response_hash)


@pytest.mark.parametrize(("status", "deadline", "refund"), STAGES)
@pytest.mark.parametrize("after", range(-2, 3))
def test_a_stage_lasts_to_the_end_of_its_deadline_and_its_refund_is_that_stage_s(
    status: int, deadline: int, refund: str, after: int
) -> None:
    ends = fate(request(status), CHALLENGE, deadline + after)
    if after <= 0:
        assert ends == Fate()
    else:
        assert ends.dead
        assert (ends.refund, ends.answered) == (refund, False)


@pytest.mark.parametrize(("status", "deadline", "refund"), STAGES)
def test_the_deadlines_of_other_stages_do_not_matter(
    status: int, deadline: int, refund: str
) -> None:
    past = request(status)
    for name in ("commit_deadline", "reveal_deadline", "finalize_deadline"):
        if getattr(past, name) != deadline:
            past = replace(past, **{name: 0})
    assert fate(past, CHALLENGE, deadline) == Fate()
    assert fate(past, CHALLENGE, deadline + 1).refund == refund


@pytest.mark.parametrize("status", [CANCELLED, TIMED_OUT])
@pytest.mark.parametrize("now", [0, COMMIT, FINALIZE + 1])
def test_a_fee_that_was_taken_back_is_not_asked_for_again(status: int, now: int) -> None:
    ends = fate(request(status), CHALLENGE, now)
    assert ends.dead
    assert (ends.refund, ends.answered) == (None, False)


@pytest.mark.parametrize("now", [0, FINALIZE, FINALIZE + 1, 2**40])
def test_the_expected_answer_serves_for_ever(now: int) -> None:
    answered = request(FINALIZED, expected_response_hash(CHALLENGE))
    assert fate(answered, CHALLENGE, now) == Fate()


@pytest.mark.parametrize("answer", [OTHER, NOTHING, expected_response_hash(CHALLENGE + 1)])
def test_another_answer_is_of_no_use_and_its_fee_is_the_worker_s(answer: str) -> None:
    ends = fate(request(FINALIZED, answer), CHALLENGE, 0)
    assert ends.dead
    assert (ends.refund, ends.answered) == (None, True)


def test_a_request_that_the_node_does_not_know_yet_is_not_dead() -> None:
    blank = RequestFacts(NONE, 0, 0, 0, NOTHING)
    assert fate(blank, CHALLENGE, 2**40) == Fate()


def test_a_status_of_a_later_contract_is_not_dead() -> None:
    assert fate(request(8), CHALLENGE, 2**40) == Fate()


seconds = st.integers(0, 2**64 - 1)
answers = st.sampled_from([NOTHING, OTHER, expected_response_hash(CHALLENGE)])
facts = st.builds(RequestFacts, st.integers(0, 7), seconds, seconds, seconds, answers)


@examples(500)
@given(facts, seconds, seconds)
def test_a_request_that_nothing_happens_to_never_comes_back_to_life(
    read: RequestFacts, now: int, passed: int
) -> None:
    if fate(read, CHALLENGE, now).dead is not None:
        assert fate(read, CHALLENGE, now + passed) == fate(read, CHALLENGE, now)


@examples(500)
@given(facts, seconds)
def test_there_is_a_refund_exactly_for_a_stage_that_ran_out(read: RequestFacts, now: int) -> None:
    ends = fate(read, CHALLENGE, now)
    over = read.deadline is not None and now > read.deadline
    assert (ends.refund is not None) == over
    assert (read.deadline is None) == (read.status in ENDED)
    # Whoever has earned the fee keeps it, and what serves the challenge is not given up.
    assert not (ends.answered and ends.refund)
    assert ends.dead is not None or ends == Fate()
