"""How much to ask for, and what a refusal means."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightchallenge_dagster.rules.ranges import (
    RangeSize,
    is_range_refusal,
    is_rate_limit,
    partition_bounds,
    partition_of,
    partitions_of,
)


@given(
    maximum=st.integers(1, 5000),
    last=st.integers(-1, 10**6),
    length=st.integers(0, 5000),
    answers=st.lists(st.booleans(), max_size=60),
)
def test_ranges_cover_every_block_once_whatever_is_refused(
    maximum: int, last: int, length: int, answers: list[bool]
) -> None:
    target, size, at = last + length, RangeSize.start(maximum), last
    refusals = iter(answers)
    while (span := size.following(at, target)) is not None:
        first, end = span
        assert first == at + 1
        assert first <= end <= target
        assert end - first < maximum
        if size.can_halve and next(refusals, False):
            smaller = size.refused()
            assert 1 <= smaller.blocks < size.blocks
            size = smaller
            continue
        size, at = size.accepted(), end
    assert at == target


def test_a_range_grows_back_slowly_after_a_refusal() -> None:
    size = RangeSize.start(2000).refused()
    assert size.blocks == 1000
    steps = 0
    while size.blocks < 2000:
        size = size.accepted()
        steps += 1
    assert steps == 12


def test_a_range_of_no_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match="MAX_BLOCK_RANGE is 0"):
        RangeSize.start(0)


@pytest.mark.parametrize(
    "message",
    [
        "query returned more than 10000 results",
        "block range is too large",
        "eth_getLogs is limited to a 10,000 range",
        "exceed maximum block range: 2000",
        "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range",
        "response is too big",
        "query timeout exceeded",
        "too many results, try a smaller range",
        "requested too many blocks from 1 to 20000, maximum is set to 2048",
    ],
)
def test_ask_for_less_is_understood(message: str) -> None:
    assert is_range_refusal(-32000, message)
    assert not is_rate_limit(-32000, message)


@pytest.mark.parametrize(
    "message", ["rate limit exceeded", "Too Many Requests", "daily request rate limit", "throttled"]
)
def test_ask_less_often_is_not_ask_for_less(message: str) -> None:
    assert is_rate_limit(-32005, message)
    assert not is_range_refusal(-32005, message)


@pytest.mark.parametrize(
    "message", ["execution reverted", "method not found", "invalid argument 0"]
)
def test_other_errors_are_neither(message: str) -> None:
    assert not is_range_refusal(-32000, message)
    assert not is_rate_limit(-32000, message)


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
