"""A ranking is a total order that knows nothing of the order of its input."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from lightchallenge_dagster.rules.ranking import rank

from .effort import examples

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
challenges = st.sampled_from((1, 2, 0, 2**31, 2**63 - 1))
wallets = st.integers(0, 15).map(lambda n: "0x" + f"{n:x}" * 40)
# Few values, so that most of them tie, and some far apart or very close.
decimals = st.sampled_from([None, *map(Decimal, ("0", "1", "1.000001", "-1", "2", "99999999999"))])
wide = decimals | st.decimals(-(10**11), 10**11, places=6)
widest = wide | st.sampled_from((Decimal(10**31), Decimal("-1e31"), Decimal("0.000001")))
floats = st.sampled_from((None, 0.0, 1.0, 1.0000000000000002, 1e300, -1e300, 5e-324))
times = st.sampled_from((0, 1, 2)).map(lambda us: NOON + timedelta(microseconds=us)) | (
    st.integers(0, 8 * 10**15).map(lambda us: NOON - timedelta(days=20000, microseconds=-us))
)
top_ns = st.integers(1, 6)


def rows_of(scores: st.SearchStrategy[Any]) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    return st.lists(
        st.tuples(challenges, wallets, scores, times),
        unique_by=lambda row: (row[0], row[1]),
        max_size=24,
    )


tied = st.lists(
    st.tuples(
        st.sampled_from((1, 2)),
        wallets,
        st.sampled_from((None, Decimal(1))),
        st.sampled_from((NOON, NOON + timedelta(microseconds=1))),
    ),
    unique_by=lambda row: (row[0], row[1]),
    min_size=8,
    max_size=24,
)
"""Rows of which many differ by their wallet only."""
tables = st.one_of(
    st.tuples(st.just(pl.Decimal(38, 6)), tied),
    st.tuples(st.just(pl.Decimal(38, 6)), rows_of(decimals)),
    st.tuples(st.just(pl.Decimal(38, 6)), rows_of(wide)),
    st.tuples(st.just(pl.Decimal(38, 6)), rows_of(widest)),
    st.tuples(st.just(pl.Int64), rows_of(st.none() | st.integers(-(2**63), 2**63 - 1))),
)
float_tables = st.tuples(st.just(pl.Float64), rows_of(floats | st.floats(-1e300, 1e300)))


def frame(rows: list[tuple[Any, ...]], score: Any, top_n: int) -> pl.DataFrame:
    challenge_ids, subjects, scores, created = zip(*rows, strict=True) if rows else ((), (), (), ())
    return pl.DataFrame(
        {
            "challenge_id": pl.Series(challenge_ids, dtype=pl.Int64),
            "subject": pl.Series(subjects, dtype=pl.String),
            "score": pl.Series(scores, dtype=score),
            "created_at": pl.Series(created, dtype=pl.Datetime("us", "UTC")),
            "top_n": pl.Series([top_n] * len(rows), dtype=pl.Int64),
        }
    )


def outcome(table: pl.DataFrame) -> list[tuple[Any, ...]]:
    return table.select("challenge_id", "subject", "rank", "winner").rows()


def a_plain_sort(rows: list[tuple[Any, ...]], top_n: int) -> list[tuple[int, str, int, bool]]:
    expected: list[tuple[int, str, int, bool]] = []
    for challenge_id in sorted({row[0] for row in rows}):
        mine = sorted(
            (row for row in rows if row[0] == challenge_id),
            key=lambda row: (row[2] is None, -(row[2] or 0), row[3], row[1]),
        )
        expected += [
            (challenge_id, row[1], place, place <= top_n and row[2] is not None and row[2] > 0)
            for place, row in enumerate(mine, start=1)
        ]
    return expected


@examples(200)
@given(tables, top_ns, st.integers(0, 1000))
def test_a_ranking_is_a_plain_sort_by_score_then_time_then_wallet(
    table: tuple[Any, list[tuple[Any, ...]]], top_n: int, seed: int
) -> None:
    score, rows = table
    shuffled = random.Random(seed).sample(rows, len(rows))
    assert outcome(rank(frame(shuffled, score, top_n))) == a_plain_sort(rows, top_n)


@examples(100)
@given(float_tables, top_ns, st.integers(0, 1000))
def test_scores_that_are_floats_are_sorted_alike(
    table: tuple[Any, list[tuple[Any, ...]]], top_n: int, seed: int
) -> None:
    score, rows = table
    shuffled = random.Random(seed).sample(rows, len(rows))
    assert outcome(rank(frame(shuffled, score, top_n))) == a_plain_sort(rows, top_n)


@examples(200)
@given(tables, top_ns, st.sets(st.integers(0, 23)), st.randoms())
def test_who_is_before_whom_does_not_hang_on_the_others(
    table: tuple[Any, list[tuple[Any, ...]]], top_n: int, absent: set[int], shuffled: Any
) -> None:
    score, rows = table
    rest = [row for index, row in enumerate(rows) if index not in absent]
    shuffled.shuffle(rest)
    present = {(row[0], row[1]) for row in rest}
    everyone = [row[:2] for row in outcome(rank(frame(rows, score, top_n)))]
    assert [row[:2] for row in outcome(rank(frame(rest, score, top_n)))] == [
        pair for pair in everyone if pair in present
    ]


@examples(200)
@given(tables, top_ns)
def test_ranks_count_from_one_and_winners_are_the_first_with_a_score(
    table: tuple[Any, list[tuple[Any, ...]]], top_n: int
) -> None:
    score, rows = table
    ranked = rank(frame(rows, score, top_n))
    assert ranked.height == len(rows)
    for _, part in ranked.group_by("challenge_id", maintain_order=True):
        assert part["rank"].to_list() == list(range(1, part.height + 1))
        winners = part.filter("winner")
        assert winners.height == min(top_n, part.filter(pl.col("score") > 0).height)
        assert winners["rank"].to_list() == list(range(1, winners.height + 1))
