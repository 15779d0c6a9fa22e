"""The next nonce: the lowest that is free; holes are found and nothing is taken twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightchallenge_dagster.rules.nonces import FOREIGN_IN_FLIGHT, free_nonce, holes

from .effort import examples

counts = st.integers(0, 60)
ours = st.sets(st.integers(0, 60), max_size=20)


@pytest.mark.parametrize(
    ("mined", "pending", "held", "expected"),
    [
        (0, 0, set[int](), 0),
        (5, 5, set[int](), 5),
        (5, 5, {5, 6}, 7),
        (5, 7, {5, 6}, 7),
        # A stale pending count.
        (5, 3, {5, 6}, 7),
        (5, 0, set[int](), 5),
        # Another program with the same key has sent two.
        (5, 7, set[int](), 7),
        (5, 8, {5}, 8),
        # A hole below ours comes first, unless somebody's transaction waits there.
        (5, 5, {6, 7}, 5),
        (5, 6, {6, 7}, 8),
        # What lies below the mined count is over.
        (5, 5, {2, 3}, 5),
        # A pending count out of a dream.
        (5, 2**53, set[int](), 5 + FOREIGN_IN_FLIGHT),
        (5, 2**53, {5, 6}, 7 + FOREIGN_IN_FLIGHT),
    ],
)
def test_the_next_nonce(mined: int, pending: int, held: set[int], expected: int) -> None:
    assert free_nonce(mined, pending, held) == expected


@examples(500)
@given(counts, counts, ours)
def test_what_is_ours_or_mined_is_never_given_out_again(
    mined: int, pending: int, held: set[int]
) -> None:
    nonce = free_nonce(mined, pending, held)
    assert nonce not in held
    assert nonce >= mined


@examples(500)
@given(counts, ours)
def test_a_truthful_node_leaves_no_hole(mined: int, held: set[int]) -> None:
    waiting = {nonce for nonce in held if nonce >= mined}
    pending = mined
    while pending in waiting:
        pending += 1
    nonce = free_nonce(mined, pending, held)
    assert nonce == pending
    assert nonce not in holes(mined, waiting | {nonce})


@examples(500)
@given(counts, st.integers(0, 2**63), ours)
def test_whatever_a_node_counts_the_nonce_stays_near_ours(
    mined: int, pending: int, held: set[int]
) -> None:
    top = max([mined, *(nonce + 1 for nonce in held)])
    assert free_nonce(mined, pending, held) <= top + FOREIGN_IN_FLIGHT


@examples(300)
@given(counts, st.lists(counts, min_size=1, max_size=12), ours)
def test_one_after_the_other_takes_another_nonce(
    mined: int, pendings: list[int], held: set[int]
) -> None:
    given_out: list[int] = []
    for pending in pendings:
        given_out.append(free_nonce(mined, pending, held | set(given_out)))
    assert len(set(given_out)) == len(pendings)
    assert held.isdisjoint(given_out)


@examples(500)
@given(counts, ours)
def test_holes_are_just_what_is_missing_below_the_last_of_ours(mined: int, held: set[int]) -> None:
    missing = holes(mined, held)
    assert missing == sorted(set(missing))
    assert held.isdisjoint(missing)
    assert all(mined <= nonce < max(held) for nonce in missing)
    # Filled, nothing of ours waits for anybody: the chain can mine all of it in one go.
    if held and max(held) >= mined:
        assert set(range(mined, max(held) + 1)) <= held | set(missing)
    assert holes(mined, held | set(missing)) == []


def test_nothing_held_leaves_no_holes() -> None:
    assert holes(7, set()) == []
    assert holes(7, {3, 5}) == []
