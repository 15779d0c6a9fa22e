"""Standings against a plain loop over decimals, and what makes a season unfit to score."""

from __future__ import annotations

from collections import defaultdict
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightchallenge_dagster.rules.standings import (
    MATCHES_SCHEMA,
    RESULTS_SCHEMA,
    Scoring,
    SeasonError,
    match_results,
    parse_scoring,
    refuse_unconserved,
    standings,
)

A = "0x" + "a" * 40
B = "0x" + "b" * 40
C = "0x" + "c" * 40
TEAM = "3f2b8c1e-0000-4000-8000-000000000001"


def results(*rows: tuple[str, str, str, str]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=RESULTS_SCHEMA, orient="row")


def match(
    a: str | None = A,
    b: str | None = B,
    *,
    winner: str | None = None,
    score_a: int | None = None,
    score_b: int | None = None,
) -> tuple[str | int | None, ...]:
    return ("m1", "cup", a, b, score_a, score_b, winner)


def taken(
    *matches: tuple[str | int | None, ...], teams: dict[str, list[str]] | None = None
) -> list[tuple[str, str, str]]:
    """The results of some matches, ordered by wallet."""
    members = [(team, wallet) for team, of_team in (teams or {}).items() for wallet in of_team]
    found = match_results(
        pl.DataFrame(list(matches), schema=MATCHES_SCHEMA, orient="row"),
        pl.DataFrame(members, schema={"team_id": pl.String, "wallet": pl.String}, orient="row"),
    )
    return found.select("wallet", "competition_id", "outcome").sort("wallet").rows()


def test_points_are_summed_exactly_and_rounded_once_at_the_end() -> None:
    table = standings(
        results(
            (A, "cup", "win", "1.5"),
            (A, "cup", "draw", "1.5"),
            (B, "cup", "draw", "0.1"),
            (B, "cup", "draw", "0.1"),
            (B, "cup", "draw", "0.3"),
        ),
        Scoring(),
    )
    assert table.select("wallet", "points").rows() == [(A, 6), (B, 1)]


def test_a_half_rounds_up_and_just_below_a_half_does_not() -> None:
    table = standings(
        results((A, "cup", "draw", "0.5"), (B, "cup", "draw", "0.49999999999999994")), Scoring()
    )
    assert table.select("wallet", "points").rows() == [(A, 1), (B, 0)]


def test_the_order_is_points_then_wins_then_fewer_losses_then_wallet() -> None:
    d, e = "0x" + "d" * 40, "0x" + "e" * 40
    table = standings(
        results(
            (A, "cup", "draw", "1"),
            (A, "cup", "draw", "1"),
            (A, "cup", "draw", "1"),
            (C, "cup", "win", "1"),
            (C, "cup", "loss", "1"),
            (B, "cup", "win", "1"),
            (e, "cup", "win", "1"),
            (d, "cup", "win", "2"),
        ),
        Scoring(),
    )
    assert table["wallet"].to_list() == [d, B, e, C, A]


def test_a_competition_is_entered_once_however_many_matches_were_played() -> None:
    table = standings(
        results((A, "cup", "win", "1"), (A, "cup", "loss", "1"), (A, "liga", "loss", "2")),
        Scoring(),
    )
    assert table.rows(named=True) == [
        {
            "wallet": A,
            "points": 3,
            "wins": 1,
            "losses": 2,
            "draws": 0,
            "competitions_entered": 2,
        }
    ]


def test_a_season_without_results_has_no_standings() -> None:
    assert standings(results(), Scoring()).is_empty()


def test_a_team_counts_for_every_wallet_on_its_roster_once() -> None:
    rosters = {TEAM: [B, C.upper().replace("0X", "0x"), B]}
    assert taken(match(A, TEAM.upper(), winner=TEAM), teams=rosters) == [
        (A, "cup", "loss"),
        (B, "cup", "win"),
        (C, "cup", "win"),
    ]


def test_a_recorded_winner_decides_against_the_score() -> None:
    assert taken(match(winner=A.upper(), score_a=0, score_b=9)) == [
        (A, "cup", "win"),
        (B, "cup", "loss"),
    ]


def test_without_a_winner_equal_scores_are_a_draw_and_else_the_higher_score_wins() -> None:
    assert [row[2] for row in taken(match(score_a=2, score_b=2))] == ["draw", "draw"]
    assert [row[2] for row in taken(match(score_a=1, score_b=2))] == ["loss", "win"]


def test_a_bye_gives_the_side_that_is_there_its_win() -> None:
    assert taken(match(A, None, winner=A)) == [(A, "cup", "win")]
    assert taken(match(None, " ")) == []


def test_a_team_without_members_takes_nothing_and_its_opponent_wins() -> None:
    rosters: dict[str, list[Any]] = {TEAM: [None]}
    assert taken(match(A, TEAM, winner=A), teams=rosters) == [(A, "cup", "win")]


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (match(A, "bob", winner=A), "neither a wallet nor a team"),
        (match(A, TEAM, winner=A), "no team of that id exists"),
        (match(A, A, winner=A), "both sides"),
        (match(A, B, winner=C), "neither side"),
        (match(A, B), "neither a winner nor both scores"),
        (match(A, B, score_a=3), "neither a winner nor both scores"),
    ],
)
def test_a_match_that_says_nothing_clear_is_refused_by_name(
    broken: tuple[str | int | None, ...], complaint: str
) -> None:
    with pytest.raises(SeasonError, match=f"bracket match m1.*{complaint}"):
        taken(match(winner=B), broken)


def test_scoring_values_keep_their_decimals() -> None:
    assert parse_scoring('{"win": 2.5, "draw": 0.1, "loss": -1}') == Scoring(
        Decimal("2.5"), Decimal("0.1"), Decimal(-1)
    )


def test_an_absent_scoring_key_keeps_the_default() -> None:
    assert parse_scoring('{"win": 4}') == Scoring(Decimal(4), Decimal(1), Decimal(0))
    assert parse_scoring(None) == Scoring()


@pytest.mark.parametrize(
    "text", ["[]", "3", '{"win": "3"}', '{"draw": true}', '{"loss": null}', "{", '{"win": NaN}']
)
def test_a_malformed_scoring_config_is_refused(text: str) -> None:
    with pytest.raises(SeasonError, match="scoring_config"):
        parse_scoring(text)


@pytest.mark.parametrize("weight", ["NaN", "Infinity", "heavy"])
def test_a_weight_that_is_no_number_is_refused(weight: str) -> None:
    with pytest.raises(SeasonError, match="weight"):
        standings(results((A, "cup", "win", weight)), Scoring())


@pytest.mark.parametrize("weight", ["1e300", "5e-324"])
def test_a_weight_beyond_exact_sums_is_refused_instead_of_rounded(weight: str) -> None:
    with pytest.raises(SeasonError, match="digits"):
        standings(results((A, "cup", "win", weight)), Scoring())


def test_points_beyond_the_integer_column_are_refused_with_the_wallet_named() -> None:
    with pytest.raises(SeasonError, match=f"wallet {A}.*integer"):
        standings(results((A, "cup", "win", "1e9")), Scoring())


WEIGHTS = st.sampled_from(["1", "1.5", "0.1", "0.30000000000000004", "0", "-2.5", "1e2"])
VALUES = st.decimals(-20, 20, places=2)


@settings(deadline=None, max_examples=100)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from([A, B, C]),
            st.sampled_from(["cup", "liga"]),
            st.sampled_from(["win", "draw", "loss"]),
            WEIGHTS,
        ),
        max_size=30,
    ),
    win=VALUES,
    draw=VALUES,
    loss=VALUES,
)
def test_it_equals_a_plain_loop_over_decimals(
    rows: list[tuple[str, str, str, str]], win: Decimal, draw: Decimal, loss: Decimal
) -> None:
    worth = {"win": win, "draw": draw, "loss": loss}
    points: dict[str, Decimal] = defaultdict(Decimal)
    for wallet, _, outcome, weight in rows:
        points[wallet] += worth[outcome] * Decimal(weight)
    expected = {w: int(p.quantize(Decimal(1), ROUND_HALF_UP)) for w, p in points.items()}
    table = standings(results(*rows), Scoring(win, draw, loss))
    assert dict(table.select("wallet", "points").iter_rows()) == expected
    assert table["wins"].sum() == sum(1 for row in rows if row[2] == "win")


def test_standings_that_do_not_add_up_to_their_results_are_refused() -> None:
    given = results((A, "cup", "win", "1"), (B, "cup", "loss", "1"), (C, "cup", "draw", "1"))
    table = standings(given, Scoring())
    refuse_unconserved(given, table)
    with pytest.raises(SeasonError, match="add up to 0 wins, the matches and challenges to 1"):
        refuse_unconserved(given, table.filter(pl.col("wallet") != A))
