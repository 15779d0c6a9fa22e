"""Points and levels from achievement mints (RULES.md, Reputation)."""

from __future__ import annotations

from typing import Final

import polars as pl

POINTS: Final[dict[str, int]] = {
    "completion": 50,
    "victory": 150,
    "streak": 100,
    "first_win": 200,
    "participation": 30,
    "top_scorer": 250,
    "undefeated": 300,
    "comeback": 175,
    "speedrun": 125,
    "social": 25,
    "early_adopter": 100,
    "veteran": 75,
    "perfectionist": 200,
    "explorer": 50,
}
"""Points of one mint by its ``achievement_type``. A type that is not listed gives none."""

LEVELS: Final[tuple[tuple[int, str, int], ...]] = (
    (1, "Newcomer", 0),
    (2, "Challenger", 100),
    (3, "Competitor", 300),
    (4, "Champion", 800),
    (5, "Legend", 2000),
)
"""(level, name, points from which a wallet has it), ascending."""


def level_name(level: int) -> str:
    """The name of ``level`` (1 to 5). Raises ``KeyError`` for any other."""
    return {number: name for number, name, _ in LEVELS}[level]


def reputation(mints: pl.DataFrame) -> pl.DataFrame:
    """Fold mints into one row per wallet, best first (points descending, then wallet).

    ``mints`` holds ``recipient`` (wallet, any case) and ``achievement_type`` (any case), one row
    per token. The result holds ``subject`` (lowercase), ``points``, ``level``, ``completions``
    and ``victories`` (i64), and ``unknown``: mints of a type that gives no points.
    """
    kinds = pl.DataFrame(
        {"kind": list(POINTS), "value": list(POINTS.values())},
        schema={"kind": pl.String, "value": pl.Int64},
    )
    folded = (
        mints.select(
            pl.col("recipient").cast(pl.String).str.to_lowercase().alias("subject"),
            pl.col("achievement_type").cast(pl.String).str.to_lowercase().alias("kind"),
        )
        .join(kinds, on="kind", how="left")
        .group_by("subject")
        .agg(
            pl.col("value").sum().alias("points"),
            (pl.col("kind") == "completion").sum().cast(pl.Int64).alias("completions"),
            (pl.col("kind") == "victory").sum().cast(pl.Int64).alias("victories"),
            pl.col("value").is_null().sum().cast(pl.Int64).alias("unknown"),
        )
    )
    level = pl.sum_horizontal(
        (pl.col("points") >= from_points).cast(pl.Int64) for _, _, from_points in LEVELS
    )
    return folded.select(
        "subject", "points", level.alias("level"), "completions", "victories", "unknown"
    ).sort("points", "subject", descending=[True, False])
