"""Season standings from bracket matches and finalized challenges (RULES.md, Season standings).

Points are exact: ``scoring_config`` values and weights are decimals, their products are scaled to
integers, and only the sum of a wallet is rounded (half-up).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any, Final, Literal, cast

import polars as pl

from lightchallenge_dagster.errors import PermanentError

Outcome = Literal["win", "draw", "loss"]

OUTCOMES: Final[tuple[Outcome, ...]] = ("win", "draw", "loss")

RESULTS_SCHEMA: Final = {
    "wallet": pl.String,
    "competition_id": pl.String,
    "outcome": pl.String,
    "weight": pl.String,
}

MATCHES_SCHEMA: Final = {
    "id": pl.String,
    "competition_id": pl.String,
    "participant_a": pl.String,
    "participant_b": pl.String,
    "score_a": pl.Int64,
    "score_b": pl.Int64,
    "winner": pl.String,
}
"""Completed rows of ``bracket_matches``."""

INTEGER_MAX: Final = 2**31 - 1
"""The column ``season_standings.points`` is a PostgreSQL ``integer``."""

_LARGEST_SUM: Final = 2**126
_DIGITS: Final = 20
_EXACT: Final = Context(prec=200)
_WALLET: Final = r"^0x[0-9a-f]{40}$"
_TEAM: Final = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"


class SeasonError(PermanentError):
    """A season cannot be scored until a person corrects the row that the message names."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """Points of one result before the competition's weight (``seasons.scoring_config``)."""

    win: Decimal = Decimal(3)
    draw: Decimal = Decimal(1)
    loss: Decimal = Decimal(0)

    def of(self, outcome: str) -> Decimal:
        """The points of ``outcome``: "win", "draw" or "loss"."""
        return {"win": self.win, "draw": self.draw, "loss": self.loss}[outcome]


def parse_scoring(text: str | None) -> Scoring:
    """Read ``seasons.scoring_config`` (JSON text); a key that is absent keeps the guide's default.

    Raises ``SeasonError`` for anything but an object of numbers.
    """
    if text is None:
        return Scoring()
    try:
        config: object = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    except (ValueError, RecursionError) as error:
        raise SeasonError(
            f"scoring_config {_short(text)} is not JSON that can be read; write an object such as "
            '{"win": 3, "draw": 1, "loss": 0}'
        ) from error
    if not isinstance(config, dict):
        raise SeasonError(
            f"scoring_config is {_short(text)}, not an object such as "
            '{"win": 3, "draw": 1, "loss": 0}'
        )
    values = cast("dict[str, Any]", config)
    points: dict[str, Decimal] = {}
    for outcome in OUTCOMES:
        value = values.get(outcome)
        if value is None:
            if outcome in values:
                raise SeasonError(f"scoring_config.{outcome} is null, not a number")
            continue
        if not isinstance(value, Decimal) or not value.is_finite():
            raise SeasonError(f"scoring_config.{outcome} is {_short(value)}, not a number")
        points[outcome] = value
    return Scoring(**points)


def match_results(matches: pl.DataFrame, rosters: pl.DataFrame) -> pl.DataFrame:
    """The results of both sides of completed matches: ``wallet``, ``competition_id``, ``outcome``.

    ``matches`` is as ``MATCHES_SCHEMA``, sides and winner as the rows spell them. ``rosters`` holds
    ``team_id`` (lowercase) and ``wallet``, a row a member, and one with a null wallet for a team
    without any. A side that is a team counts for each of its wallets once. A recorded winner
    decides; without one the higher score wins and equal scores are a draw. A side that is not
    there (a bye) takes nothing.

    Raises ``SeasonError`` when a side is neither a wallet nor a known team, the sides are the
    same, the winner is neither side, or there is neither a winner nor both scores.
    """
    played = matches.with_columns(
        _clean("participant_a").alias("a"), _clean("participant_b").alias("b"), _clean("winner")
    ).filter(pl.col("a").is_not_null() | pl.col("b").is_not_null())
    members = (
        rosters.select(pl.col("team_id").alias("side"), _clean("wallet"))
        .unique()
        .with_columns(pl.lit(value=True).alias("team"))
    )
    _refuse_unclear(played, members["side"].unique())
    score = pl.col("score_a") - pl.col("score_b")
    a_took = (
        pl.when(pl.col("winner").is_not_null())
        .then(pl.when(pl.col("winner").eq_missing(pl.col("a"))).then(1).otherwise(-1))
        .otherwise(score.sign())
    )
    sides = pl.concat(
        played.select(pl.col(side).alias("side"), "competition_id", took.alias("took"))
        for side, took in (("a", a_took), ("b", -a_took))
    ).drop_nulls("side")
    return (
        sides.join(members, on="side", how="left")
        .select(
            pl.when(pl.col("team").is_null()).then("side").otherwise("wallet").alias("wallet"),
            "competition_id",
            pl.col("took").replace_strict({1: "win", 0: "draw", -1: "loss"}).alias("outcome"),
        )
        .drop_nulls("wallet")
    )


def standings(results: pl.DataFrame, scoring: Scoring) -> pl.DataFrame:
    """Add results up to one row per wallet, in the order of the standings.

    ``results`` holds ``wallet`` (lowercase), ``competition_id``, ``outcome`` ("win", "draw",
    "loss") and ``weight``, the competition's weight as decimal text ("1.5"), which is what keeps
    it exact. The result holds ``wallet``, ``points`` (i64, rounded half-up from the exact sum),
    ``wins``, ``losses``, ``draws`` and ``competitions_entered`` (i64), ordered by points, then
    wins, then fewer losses, then wallet.

    Raises ``SeasonError`` for a weight that is no finite number, an unknown outcome, and points
    beyond the integer column.
    """
    kinds = results.select("outcome", "weight").unique(maintain_order=False).rows()
    worth = {(outcome, weight): _worth(outcome, weight, scoring) for outcome, weight in kinds}
    places = max((_places(value) for value in worth.values()), default=0)
    scale = 10**places
    scaled = {kind: int(_EXACT.scaleb(value, places)) for kind, value in worth.items()}
    largest = max((abs(value) for value in scaled.values()), default=0)
    if largest * max(results.height, 1) >= _LARGEST_SUM:
        raise SeasonError(
            "the season's weights and scoring_config together have too many digits to add up "
            "exactly; round them"
        )
    values = pl.DataFrame(
        {
            "outcome": [outcome for outcome, _ in scaled],
            "weight": [weight for _, weight in scaled],
            "value": list(scaled.values()),
        },
        schema={"outcome": pl.String, "weight": pl.String, "value": pl.Int128},
    )
    half, whole = (pl.lit(number, dtype=pl.Int128) for number in (scale // 2, scale))
    rounded = (pl.col("value").abs() + half) // whole * pl.col("value").sign()
    table = (
        results.join(values, on=["outcome", "weight"], how="left")
        .group_by("wallet")
        .agg(
            pl.col("value").sum(),
            (pl.col("outcome") == "win").sum().cast(pl.Int64).alias("wins"),
            (pl.col("outcome") == "loss").sum().cast(pl.Int64).alias("losses"),
            (pl.col("outcome") == "draw").sum().cast(pl.Int64).alias("draws"),
            pl.col("competition_id").n_unique().cast(pl.Int64).alias("competitions_entered"),
        )
        .with_columns(rounded.alias("points"))
    )
    beyond = table.filter(pl.col("points").abs() > INTEGER_MAX).head(1)
    if not beyond.is_empty():
        row = beyond.row(0, named=True)
        raise SeasonError(
            f"wallet {row['wallet']} would have {row['points']} points, more than the integer "
            "column holds; lower the weights or the scoring_config"
        )
    return table.select(
        "wallet",
        pl.col("points").cast(pl.Int64),
        "wins",
        "losses",
        "draws",
        "competitions_entered",
    ).sort("points", "wins", "losses", "wallet", descending=[True, True, False, False])


def refuse_unconserved(results: pl.DataFrame, table: pl.DataFrame) -> None:
    """Raise ``SeasonError`` unless ``table`` adds up to the outcomes in ``results``."""
    taken = dict(results["outcome"].value_counts().iter_rows())
    for outcome, column in (("win", "wins"), ("draw", "draws"), ("loss", "losses")):
        if int(table[column].sum()) != taken.get(outcome, 0):
            raise SeasonError(
                f"the standings add up to {table[column].sum()} {column}, the matches and "
                f"challenges to {taken.get(outcome, 0)}; this is a defect, please report it"
            )


def _clean(column: str) -> pl.Expr:
    """Text as it is compared: without spaces around it, lowercase; null where nothing is left."""
    text = pl.col(column).str.strip_chars().str.to_lowercase()
    return pl.when(text != "").then(text).alias(column)


def _refuse_unclear(played: pl.DataFrame, teams: pl.Series) -> None:
    a, b, winner = pl.col("a"), pl.col("b"), pl.col("winner")
    complaint = (
        pl.when(a == b)
        .then(pl.format("both sides are {}", a))
        .when(winner.is_not_null() & ~winner.eq_missing(a) & ~winner.eq_missing(b))
        .then(
            pl.format(
                "the winner {} is neither side ({}, {})",
                winner,
                a.fill_null("nobody"),
                b.fill_null("nobody"),
            )
        )
        .when(winner.is_null() & (pl.col("score_a").is_null() | pl.col("score_b").is_null()))
        .then(pl.lit("it is completed but has neither a winner nor both scores"))
    )
    for side in (a, b):
        unknown = ~side.is_in(teams.to_list()) & ~side.str.contains(_WALLET)
        complaint = complaint.when(unknown & side.str.contains(_TEAM)).then(
            pl.format("side {}: no team of that id exists", side)
        )
        complaint = complaint.when(unknown).then(
            pl.format("side {}: neither a wallet nor a team", side)
        )
    unclear = played.select("id", complaint.alias("complaint")).drop_nulls("complaint")
    if not unclear.is_empty():
        first = unclear.sort("id").row(0, named=True)
        more = f" (and {unclear.height - 1} more matches)" if unclear.height > 1 else ""
        raise SeasonError(f"bracket match {first['id']}: {first['complaint']}{more}")


def _worth(outcome: str, weight: str, scoring: Scoring) -> Decimal:
    if outcome not in OUTCOMES:
        raise SeasonError(f"the outcome {outcome!r} is none of {', '.join(OUTCOMES)}")
    try:
        factor = Decimal(weight)
    except ArithmeticError as error:
        raise SeasonError(f"the weight {weight!r} of a competition is not a number") from error
    if not factor.is_finite():
        raise SeasonError(f"the weight of a competition is {weight}, not a finite number")
    points = scoring.of(outcome)
    for value in (factor, points):
        if value and (abs(value.adjusted()) > _DIGITS or _places(value) > _DIGITS):
            raise SeasonError(
                f"{_short(value)} as a weight or in scoring_config has more than {_DIGITS} digits; "
                "round it"
            )
    return _EXACT.multiply(points, factor)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _places(value: Decimal) -> int:
    return max(0, -cast("int", value.as_tuple().exponent))
