"""Ranking against a plain sort, and its refusals."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightchallenge_dagster.errors import PermanentError
from lightchallenge_dagster.rules.ranking import exact_scores, rank, unrankable

from .effort import examples

EARLIEST = datetime(1, 1, 2)  # noqa: DTZ001
LATEST = datetime(9999, 12, 30)  # noqa: DTZ001
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SCHEMA = {
    "challenge_id": pl.Int64,
    "subject": pl.String,
    "score": pl.Decimal(38, 6),
    "created_at": pl.Datetime("us", "UTC"),
    "top_n": pl.Int64,
}


def frame(*rows: tuple[int, str, Any, datetime, int], score: Any = None) -> pl.DataFrame:
    schema = SCHEMA if score is None else {**SCHEMA, "score": score}
    return pl.DataFrame(list(rows), schema=schema, orient="row")


def outcome(table: pl.DataFrame) -> list[tuple[str, int, bool]]:
    return table.select("subject", "rank", "winner").rows()


def test_the_higher_score_ranks_first_and_the_first_top_n_win() -> None:
    table = frame(
        (7, "0xa", Decimal("3.5"), NOON, 2),
        (7, "0xb", Decimal("12"), NOON, 2),
        (7, "0xc", Decimal("3.500001"), NOON, 2),
    )
    assert outcome(rank(table)) == [("0xb", 1, True), ("0xc", 2, True), ("0xa", 3, False)]


def test_a_tie_goes_to_the_earlier_evidence_and_then_to_the_lower_wallet() -> None:
    later = NOON + timedelta(microseconds=1)
    table = frame(
        (7, "0xd", Decimal(5), NOON, 1),
        (7, "0xb", Decimal(5), later, 1),
        (7, "0xc", Decimal(5), NOON, 1),
    )
    assert outcome(rank(table)) == [("0xc", 1, True), ("0xd", 2, False), ("0xb", 3, False)]


def test_nobody_wins_with_a_score_of_zero_or_below_or_without_one() -> None:
    table = frame(
        (7, "0xa", None, NOON, 5),
        (7, "0xb", Decimal(0), NOON, 5),
        (7, "0xc", Decimal(-1), NOON, 5),
        (7, "0xd", Decimal("0.000001"), NOON, 5),
    )
    assert outcome(rank(table)) == [
        ("0xd", 1, True),
        ("0xb", 2, False),
        ("0xc", 3, False),
        ("0xa", 4, False),
    ]


def test_challenges_are_ranked_apart_each_with_its_own_top_n() -> None:
    table = frame(
        (8, "0xa", Decimal(1), NOON, 1),
        (7, "0xa", Decimal(1), NOON, 2),
        (8, "0xb", Decimal(2), NOON, 1),
        (7, "0xb", Decimal(2), NOON, 2),
    )
    assert rank(table).select("challenge_id", "subject", "rank", "winner").rows() == [
        (7, "0xb", 1, True),
        (7, "0xa", 2, True),
        (8, "0xb", 1, True),
        (8, "0xa", 2, False),
    ]


def test_scores_that_a_float_cannot_tell_apart_are_told_apart() -> None:
    big = Decimal(2**53)
    table = frame((7, "0xa", big, NOON, 1), (7, "0xb", big + 1, NOON, 1))
    assert outcome(rank(table))[0] == ("0xb", 1, True)


def test_an_empty_frame_ranks_to_an_empty_frame() -> None:
    table = rank(frame())
    assert table.is_empty()
    assert table.schema["rank"] == pl.UInt32
    assert table.schema["winner"] == pl.Boolean


@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_no_number_is_refused_with_its_row_named(score: float) -> None:
    table = frame(
        (7, "0xa", 1.0, NOON, 1),
        (9, "0xb", score, NOON, 1),
        score=pl.Float64,
    )
    with pytest.raises(PermanentError, match=r"challenge 9, wallet 0xb.*not a finite number"):
        rank(table)


def test_a_float_frame_may_hold_missing_scores() -> None:
    table = frame((7, "0xa", None, NOON, 1), (7, "0xb", 1.5, NOON, 1), score=pl.Float64)
    assert outcome(rank(table)) == [("0xb", 1, True), ("0xa", 2, False)]


def test_a_wallet_that_occurs_twice_is_refused() -> None:
    table = frame((7, "0xa", Decimal(1), NOON, 1), (7, "0xa", Decimal(2), NOON, 1))
    with pytest.raises(PermanentError, match=r"challenge 7, wallet 0xa: .*more than once"):
        rank(table)


def test_two_top_n_in_one_challenge_are_refused() -> None:
    table = frame((7, "0xa", Decimal(1), NOON, 1), (7, "0xb", Decimal(2), NOON, 2))
    with pytest.raises(PermanentError, match="something else in another row"):
        rank(table)


def test_a_top_n_below_one_is_refused() -> None:
    with pytest.raises(PermanentError, match="top_n is 0"):
        rank(frame((7, "0xa", Decimal(1), NOON, 0)))


def test_a_missing_column_is_named() -> None:
    with pytest.raises(PermanentError, match="created_at"):
        rank(frame((7, "0xa", Decimal(1), NOON, 1)).drop("created_at"))


ROWS = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.sampled_from([f"0x{i:02x}" for i in range(12)]),
        st.one_of(st.none(), st.integers(-2, 4).map(Decimal), st.just(Decimal("0.000001"))),
        st.integers(0, 3).map(lambda s: NOON + timedelta(seconds=s)),
    ),
    unique_by=lambda row: (row[0], row[1]),
    max_size=25,
)


@examples(100)
@given(rows=ROWS, top_n=st.integers(1, 6), seed=st.integers(0, 1000))
def test_it_equals_a_plain_sort_whatever_the_order_of_the_input(
    rows: list[tuple[int, str, Decimal | None, datetime]], top_n: int, seed: int
) -> None:
    expected: list[tuple[int, str, int, bool]] = []
    for challenge_id in sorted({row[0] for row in rows}):
        of_challenge = [row for row in rows if row[0] == challenge_id]
        scored = sorted(
            (row for row in of_challenge if row[2] is not None),
            key=lambda row: (-(row[2] or 0), row[3], row[1]),
        )
        rest = sorted((row for row in of_challenge if row[2] is None), key=lambda r: (r[3], r[1]))
        for position, row in enumerate([*scored, *rest], start=1):
            wins = position <= top_n and row[2] is not None and row[2] > 0
            expected.append((challenge_id, row[1], position, wins))
    shuffled = random.Random(seed).sample(rows, len(rows))
    table = rank(frame(*((*row, top_n) for row in shuffled)))
    assert table.select("challenge_id", "subject", "rank", "winner").rows() == expected


@pytest.mark.parametrize(
    "scores",
    [
        # Rounded up to a whole number the first has a digit more than there is room for.
        ["9999999999999999999.5", "1"],
        ["9999999999999999999.4", "0.1234567"],
        ["-9999999999999999999.9999999999999999999", "9999999999999999999.9999999999999999999"],
    ],
)
def test_scores_at_the_end_of_what_is_compared_are_still_ordered(scores: list[str]) -> None:
    entries = frame(
        *((7, f"0x{at}", None, NOON, 1) for at in range(len(scores))), score=pl.String
    ).with_columns(pl.Series("score", scores))
    assert unrankable(entries) == {}
    table = rank(exact_scores(entries))
    by_size = sorted(scores, key=Decimal, reverse=True)
    assert table["score_text"].to_list() == by_size


@examples(100)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from([-(2**63), -1, 0, 7, 2**63 - 1]),
            st.integers(0, 40).map(lambda number: f"0x{number:02x}"),
            st.none() | st.decimals(-(10**18), 10**18, places=19, allow_nan=False),
            st.datetimes(EARLIEST, LATEST).map(lambda moment: moment.replace(tzinfo=UTC)),
        ),
        unique_by=lambda row: (row[0], row[1]),
        max_size=20,
    )
)
def test_extreme_challenges_scores_and_times_are_ordered_like_any_other(
    rows: list[tuple[int, str, Decimal | None, datetime]],
) -> None:
    table = rank(frame(*((*row, 3) for row in rows), score=pl.Decimal(38, 19)))
    expected = sorted(
        rows, key=lambda row: (row[0], row[2] is None, -(row[2] or 0), row[3], row[1])
    )
    assert table.select("challenge_id", "subject").rows() == [row[:2] for row in expected]


@pytest.mark.parametrize(
    ("score", "created_at", "complaint"),
    [
        ("NaN", NOON, "has the score NaN, no number"),
        ("Infinity", NOON, "no number"),
        ("1" * 20, NOON, "more digits than can be compared exactly"),
        ("0." + "0" * 19 + "1", NOON, "more digits than can be compared exactly"),
        ("1", None, "has no time at which it submitted"),
    ],
)
def test_what_has_no_place_in_an_order_is_named_with_its_challenge(
    score: str, created_at: datetime | None, complaint: str
) -> None:
    entries = pl.DataFrame(
        [(7, "0xa", score, created_at), (8, "0xa", "1", NOON)],
        schema={
            "challenge_id": pl.Int64,
            "subject": pl.String,
            "score": pl.String,
            "created_at": pl.Datetime("us", "UTC"),
        },
        orient="row",
    )
    problems = unrankable(entries)
    assert list(problems) == [7]
    assert complaint in problems[7]
