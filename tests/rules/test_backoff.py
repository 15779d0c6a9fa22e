"""Waiting doubles with every failure, has an end, and spreads those who failed together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightchallenge_dagster.rules.backoff import delay_s

from .effort import examples

FIRST_S, LONGEST_S = 20.0, 300.0
luck = st.floats(0, 1)
failures = st.integers(0, 2**31)


@pytest.mark.parametrize(
    ("earlier", "at_least", "at_most"),
    [
        (0, 10, 20),
        (1, 20, 40),
        (2, 40, 80),
        (3, 80, 160),
        (4, 150, 300),
        (5, 150, 300),
        (2**31, 150, 300),
    ],
)
def test_the_wait_doubles_up_to_the_longest(earlier: int, at_least: float, at_most: float) -> None:
    assert delay_s(earlier, FIRST_S, LONGEST_S, 0) == at_least
    assert delay_s(earlier, FIRST_S, LONGEST_S, 1) == at_most


@examples(200)
@given(failures, luck, st.floats(0.001, 3600), st.floats(0.001, 86400))
def test_nobody_waits_longer_than_the_longest_or_not_at_all(
    earlier: int, lucky: float, first: float, longest: float
) -> None:
    assert 0 < min(first, longest) / 2 <= delay_s(earlier, first, longest, lucky) <= longest


@examples(200)
@given(failures, luck)
def test_another_failure_never_shortens_the_wait(earlier: int, lucky: float) -> None:
    now, later = (delay_s(earlier + more, FIRST_S, LONGEST_S, lucky) for more in (0, 1))
    assert now <= later


@examples(100)
@given(st.integers(0, 100), st.lists(luck, min_size=2, max_size=20, unique=True))
def test_those_who_failed_together_come_back_in_the_order_of_their_luck(
    earlier: int, drawn: list[float]
) -> None:
    waits = [delay_s(earlier, FIRST_S, LONGEST_S, one) for one in sorted(drawn)]
    assert waits == sorted(waits)
    assert waits[-1] - waits[0] <= delay_s(earlier, FIRST_S, LONGEST_S, 1) / 2
