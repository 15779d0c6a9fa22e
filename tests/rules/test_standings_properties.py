"""Season standings do not hang on the order of the results, and their own order is total."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from lightchallenge_dagster.rules.standings import (
    MATCHES_SCHEMA,
    RESULTS_SCHEMA,
    Scoring,
    match_results,
    standings,
)

from .effort import examples

WALLETS = ["0x" + letter * 40 for letter in "abcdef"]
results = st.lists(
    st.tuples(
        st.sampled_from(WALLETS),
        st.sampled_from(["cup", "liga"]),
        st.sampled_from(["win", "draw", "loss"]),
        st.sampled_from(["1", "1.5", "0.1", "0.30000000000000004", "0", "-2.5", "1e2"]),
    ),
    max_size=30,
)
values = st.decimals(-20, 20, places=2)
scorings = st.builds(Scoring, values, values, values) | st.just(Scoring(*[Decimal(0)] * 3))


def table(rows: list[tuple[str, str, str, str]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=RESULTS_SCHEMA, orient="row")


@examples(100)
@given(results, scorings, st.randoms())
def test_the_order_of_the_results_never_matters(
    rows: list[tuple[str, str, str, str]], scoring: Scoring, random: Any
) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert standings(table(rows), scoring).rows() == standings(table(shuffled), scoring).rows()


@examples(100)
@given(results, scorings)
def test_the_order_is_points_then_wins_then_fewer_losses_then_wallet(
    rows: list[tuple[str, str, str, str]], scoring: Scoring
) -> None:
    ranked = standings(table(rows), scoring).select("points", "wins", "losses", "wallet").rows()
    keys = [(-points, -wins, losses, wallet) for points, wins, losses, wallet in ranked]
    assert keys == sorted(keys)
    assert len({wallet for *_, wallet in ranked}) == len(ranked) == len({row[0] for row in rows})


@examples(100)
@given(results, st.integers(0, 5))
def test_a_wallets_points_do_not_hang_on_the_other_wallets(
    rows: list[tuple[str, str, str, str]], which: int
) -> None:
    wallet = WALLETS[which]
    alone = standings(table([row for row in rows if row[0] == wallet]), Scoring())
    among = standings(table(rows), Scoring()).filter(pl.col("wallet") == wallet)
    assert alone.rows() == among.rows()


Sides = tuple[str | None, str | None, int, int, str | None]

TEAM = "3f2b8c1e-0000-4000-8000-000000000001"
ROSTERS = pl.DataFrame(
    [(TEAM, WALLETS[2]), (TEAM, WALLETS[3])], schema=["team_id", "wallet"], orient="row"
)
sides = st.sampled_from((WALLETS[0], WALLETS[1], TEAM))
matches = st.lists(
    st.tuples(sides, sides, st.integers(0, 2), st.integers(0, 2), st.booleans(), st.booleans())
    .filter(lambda row: row[0] != row[1])
    .map(lambda row: (*row[:4], (row[0] if row[5] else row[1]) if row[4] else None)),
    max_size=8,
)


def taken(played: list[Sides]) -> list[tuple[Any, ...]]:
    rows = [(f"m{n}", "cup", *row) for n, row in enumerate(played)]
    return sorted(
        match_results(pl.DataFrame(rows, schema=MATCHES_SCHEMA, orient="row"), ROSTERS).rows()
    )


@examples(100)
@given(matches, st.randoms())
def test_what_is_taken_hangs_neither_on_the_order_of_matches_nor_on_who_is_named_first(
    played: list[Sides], random: Any
) -> None:
    turned = [
        (row[1], row[0], row[3], row[2], row[4]) if random.random() < 0.5 else row for row in played
    ]
    random.shuffle(turned)
    assert taken(played) == taken(turned)


@examples(100)
@given(matches)
def test_a_win_is_somebody_elses_loss_and_a_draw_is_both_sides(played: list[Sides]) -> None:
    counted: Counter[str] = Counter()
    for a, b, score_a, score_b, winner in played:
        higher = None if score_a == score_b else a if score_a > score_b else b
        ahead = winner or higher
        for side in (a, b):
            outcome = "draw" if ahead is None else "win" if side == ahead else "loss"
            counted[outcome] += 2 if side == TEAM else 1
    assert Counter(outcome for *_, outcome in taken(played)) == counted
