"""How much to ask for at a time."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightchallenge_dagster.rules.ranges import (
    RangeSize,
    is_suspicious,
    partition_bounds,
    partition_of,
    partitions_of,
)


@given(
    maximum=st.integers(1, 5000),
    last=st.integers(-1, 10**6),
    length=st.integers(0, 5000),
    answers=st.lists(st.one_of(st.none(), st.just("no"), st.integers(-1, 6000)), max_size=60),
)
def test_ranges_cover_every_block_once_whatever_is_refused_or_proposed(
    maximum: int, last: int, length: int, answers: list[str | int | None]
) -> None:
    target, size, at = last + length, RangeSize.start(maximum), last
    said = iter(answers)
    while (span := size.following(at, target)) is not None:
        first, end = span
        asked = end - first + 1
        assert first == at + 1
        assert first <= end <= target
        assert asked <= min(size.blocks, maximum)
        answer = next(said, None)
        if answer is not None and asked > 1:
            smaller = size.refused(answer if isinstance(answer, int) else None, asked=asked)
            assert 1 <= smaller.blocks < asked, "each refusal is answered by asking for less"
            size = smaller
            continue
        grown = size.accepted(asked)
        assert grown.blocks <= size.blocks + max(1, size.blocks // 4), "it grows slowly"
        size, at = grown, end
    assert at == target


@given(
    maximum=st.integers(1, 10**6), asked=st.integers(1, 10**6), suggestion=st.integers(-5, 10**6)
)
def test_a_refusal_never_leads_to_more_and_halving_ends_at_one_block(
    maximum: int, asked: int, suggestion: int
) -> None:
    size = RangeSize.start(maximum)
    after = size.refused(suggestion, asked=asked)
    assert 1 <= after.blocks <= size.blocks
    assert after.blocks < asked or asked == 1 or after.blocks == size.blocks < asked
    halvings = 0
    while after.blocks > 1:
        smaller = after.refused()
        assert smaller.blocks <= after.blocks // 2
        after, halvings = smaller, halvings + 1
    assert halvings <= 20
    assert after.refused().blocks == 1


def test_a_proposal_is_followed_at_once() -> None:
    assert RangeSize.start(2000).refused(500).blocks == 500
    assert RangeSize.start(2000).refused(1999).blocks == 1999


@pytest.mark.parametrize("proposal", [2000, 5000, 0, -1])
def test_a_proposal_that_is_not_less_is_halving(proposal: int) -> None:
    assert RangeSize.start(2000).refused(proposal).blocks == 1000


def test_a_range_grows_back_slowly_after_a_refusal_and_slower_to_what_was_refused() -> None:
    size = RangeSize.start(2000).refused()
    assert size.blocks == 1000
    sizes: list[int] = []
    while size.blocks < 2000:
        size = size.accepted()
        sizes.append(size.blocks)
    assert sizes == [1000, 1000, 1250, 1250, 1250, 1562, 1562, 1562, 1952, *[1952] * 29, 2000]


def test_a_limit_of_the_provider_costs_one_refusal_in_thirty_answers() -> None:
    size, refusals, answers = RangeSize.start(2000), 0, 0
    while answers < 600:
        if size.blocks > 500:
            refusals += 1
            size = size.refused(500)
        else:
            answers += 1
            size = size.accepted()
    assert refusals <= 22
    assert size.blocks >= 500


def test_a_size_that_is_served_again_is_no_longer_remembered_as_refused() -> None:
    size = RangeSize.start(100).refused()
    while size.blocks < 100:
        size = size.accepted()
    assert size.refused_at == 100
    assert size.accepted().refused_at is None


def test_an_answer_to_fewer_blocks_says_nothing_about_more() -> None:
    size = RangeSize.start(2000).refused()
    for _ in range(100):
        size = size.accepted(3)
    assert size.blocks == 1000
    assert size.accepted(1000).served == 1


def test_the_refusal_of_a_request_sized_for_another_endpoint_costs_this_one_nothing() -> None:
    size = RangeSize.start(2000).refused(200)
    assert size.refused(asked=2000).blocks == 200


def test_another_maximum_bounds_what_was_learned_and_opens_what_was_never_refused() -> None:
    assert RangeSize.start(2000).within(500) == RangeSize.start(500)
    assert RangeSize.start(500).within(2000) == RangeSize.start(2000)
    learned = RangeSize.start(2000).refused(300)
    assert learned.within(5000).blocks == 300
    assert learned.within(100).blocks == 100


@pytest.mark.parametrize("count", [25, 100, 256, 1000, 10_000])
def test_a_round_count_of_logs_is_suspicious(count: int) -> None:
    assert is_suspicious(count)
    assert not is_suspicious(count - 1)
    assert not is_suspicious(count + 1)


def test_a_range_of_no_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match="MAX_BLOCK_RANGE is 0"):
        RangeSize.start(0)


@given(st.integers(0, 900_000_000), st.integers(0, 10**6))
def test_partitions_lie_side_by_side(first: int, length: int) -> None:
    keys = partitions_of(first, first + length)
    assert keys[0] == partition_of(first)
    assert keys[-1] == partition_of(first + length)
    bounds = [partition_bounds(key) for key in keys]
    assert all(a[1] + 1 == b[0] for a, b in itertools.pairwise(bounds))
    assert list(keys) == sorted(keys)


def test_no_blocks_lie_in_no_partition() -> None:
    assert partitions_of(10, 9) == ()
    assert partition_of(99_999) == "000000000-000099999"
    assert partition_of(100_000) == "000100000-000199999"


@pytest.mark.parametrize("key", ["", "5", "000000000-000099998", "000000001-000100000", "a-b"])
def test_text_that_is_no_partition_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="is not a chain_logs partition"):
        partition_bounds(key)
