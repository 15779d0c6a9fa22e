"""Reputation against a plain loop."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightchallenge_dagster.rules.reputation import POINTS, level_name, reputation

from .effort import examples


def mints(*rows: tuple[str, str]) -> pl.DataFrame:
    return pl.DataFrame(
        list(rows), schema={"recipient": pl.String, "achievement_type": pl.String}, orient="row"
    )


def test_a_completion_and_a_victory_make_a_challenger() -> None:
    table = reputation(mints(("0xA", "completion"), ("0xa", "victory"), ("0xb", "completion")))
    assert table.rows(named=True) == [
        {
            "subject": "0xa",
            "points": 200,
            "level": 2,
            "completions": 1,
            "victories": 1,
            "unknown": 0,
        },
        {
            "subject": "0xb",
            "points": 50,
            "level": 1,
            "completions": 1,
            "victories": 0,
            "unknown": 0,
        },
    ]


@pytest.mark.parametrize(
    ("types", "level", "name"),
    [
        (["participation"], 1, "Newcomer"),
        (["completion"], 1, "Newcomer"),
        (["completion", "completion"], 2, "Challenger"),
        (["top_scorer", "social"], 2, "Challenger"),
        (["undefeated"], 3, "Competitor"),
        (["victory"] * 5 + ["social"], 3, "Competitor"),
        (["first_win"] * 4, 4, "Champion"),
        (["first_win"] * 9 + ["comeback"], 4, "Champion"),
        (["perfectionist"] * 10, 5, "Legend"),
    ],
)
def test_the_level_begins_exactly_at_its_points(types: list[str], level: int, name: str) -> None:
    table = reputation(mints(*(("0xa", kind) for kind in types)))
    assert table["level"].to_list() == [level]
    assert level_name(level) == name


def test_a_type_without_points_is_counted_apart_and_gives_none() -> None:
    table = reputation(mints(("0xa", "VICTORY"), ("0xa", "mystery")))
    assert table.select("points", "victories", "unknown").rows() == [(150, 1, 1)]


def test_no_mints_are_no_reputation() -> None:
    assert reputation(mints()).is_empty()


@examples(60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["0xa", "0xB", "0xc"]), st.sampled_from([*POINTS, "nothing we know"])
        ),
        max_size=40,
    )
)
def test_points_equal_a_plain_loop(rows: list[tuple[str, str]]) -> None:
    expected: dict[str, int] = {}
    for wallet, kind in rows:
        expected[wallet.lower()] = expected.get(wallet.lower(), 0) + POINTS.get(kind, 0)
    table = reputation(mints(*rows))
    assert dict(table.select("subject", "points").iter_rows()) == expected
    assert table["points"].is_sorted(descending=True)
    assert reputation(mints(*reversed(rows))).rows() == table.rows()
