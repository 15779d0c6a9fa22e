"""Season standings from bracket matches and finalized challenges (RULES.md, Season standings).

Points are exact: ``scoring_config`` values and weights are decimals, their products are scaled to
integers, and only the sum of a wallet is rounded (half-up).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
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

INTEGER_MAX: Final = 2**31 - 1
"""The column ``season_standings.points`` is a PostgreSQL ``integer``."""

_OTHER_SIDE: Final[dict[Outcome, Outcome]] = {"win": "loss", "draw": "draw", "loss": "win"}
_LARGEST_SUM: Final = 2**126
_DIGITS: Final = 20
_EXACT: Final = Context(prec=200)
_WALLET = re.compile(r"0x[0-9a-f]{40}")
_TEAM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


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


@dataclass(frozen=True, slots=True)
class Match:
    """A completed row of ``bracket_matches``; sides and winner as the row spells them."""

    id: str
    competition_id: str
    participant_a: str | None
    participant_b: str | None
    score_a: int | None
    score_b: int | None
    winner: str | None


@dataclass(frozen=True, slots=True)
class Result:
    """What one wallet takes from one match or challenge of a competition."""

    wallet: str
    competition_id: str
    outcome: Outcome


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


def match_results(match: Match, rosters: Mapping[str, Iterable[str]]) -> list[Result]:
    """The results of both sides of a completed match.

    ``rosters`` maps every known team id (lowercase) to its wallets; a side that is a team counts
    for each of them. A recorded winner decides; without one the higher score wins and equal scores
    are a draw. A side that is not there (a bye) takes nothing.

    Raises ``SeasonError`` when a side is neither a wallet nor a known team, the sides are the
    same, the winner is neither side, or there is neither a winner nor both scores.
    """
    a, b = _clean(match.participant_a), _clean(match.participant_b)
    if a is None and b is None:
        return []
    place = f"bracket match {match.id}"
    if a == b:
        raise SeasonError(f"{place}: both sides are {a}")
    outcome = _outcome_of_a(match, a, b, place)
    results: list[Result] = []
    sides: list[tuple[str | None, Outcome]] = [(a, outcome), (b, _OTHER_SIDE[outcome])]
    for side, taken in sides:
        wallets = [] if side is None else _wallets(side, rosters, place)
        results.extend(Result(wallet, match.competition_id, taken) for wallet in wallets)
    return results


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


def _clean(text: str | None) -> str | None:
    return None if text is None else text.strip().lower() or None


def _outcome_of_a(match: Match, a: str | None, b: str | None, place: str) -> Outcome:
    winner = _clean(match.winner)
    if winner is not None:
        if winner not in (a, b):
            raise SeasonError(f"{place}: the winner {winner} is neither side ({a}, {b})")
        return "win" if winner == a else "loss"
    if match.score_a is None or match.score_b is None:
        raise SeasonError(f"{place} is completed but has neither a winner nor both scores")
    if match.score_a == match.score_b:
        return "draw"
    return "win" if match.score_a > match.score_b else "loss"


def _wallets(side: str, rosters: Mapping[str, Iterable[str]], place: str) -> list[str]:
    if side in rosters:
        return sorted({wallet.strip().lower() for wallet in rosters[side]})
    if _WALLET.fullmatch(side):
        return [side]
    kind = "no team of that id exists" if _TEAM.fullmatch(side) else "neither a wallet nor a team"
    raise SeasonError(f"{place}: side {side!r}: {kind}")


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
