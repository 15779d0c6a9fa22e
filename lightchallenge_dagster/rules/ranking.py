"""Who wins a competitive challenge: a total order over its ranked wallets (RULES.md, Rankings)."""

from __future__ import annotations

import polars as pl

from lightchallenge_dagster.errors import PermanentError

COLUMNS = ("challenge_id", "subject", "score", "created_at", "top_n")
"""What a frame of wallets to rank holds, one row per (challenge, wallet)."""


def rank(frame: pl.DataFrame) -> pl.DataFrame:
    """Add ``rank`` (u32, from 1 within each challenge) and ``winner`` (bool) to ``frame``.

    ``frame`` holds ``challenge_id`` (i64), ``subject`` (lowercase wallet), ``score`` (decimal,
    integer or float in the metric's own unit; null: none), ``created_at`` (when the evidence was
    submitted) and ``top_n`` (i64, the same in every row of a challenge); other columns pass
    through. Score descending, then the earlier submission, then the wallet ascending: total, so
    the result does not depend on the order of the input. Rows without a score come last. The first
    ``top_n`` with a score above 0 win.

    The result is sorted by challenge and rank. Raises ``PermanentError``, naming the row, for a
    score that is not a number, a wallet that occurs twice, a missing submission time, and a
    ``top_n`` that is no positive integer or differs within a challenge.
    """
    _refuse_what_has_no_order(frame)
    ordered = frame.sort(
        "challenge_id",
        "score",
        "created_at",
        "subject",
        descending=[False, True, False, False],
        nulls_last=True,
    )
    return ordered.with_columns(
        pl.int_range(1, pl.len() + 1).over("challenge_id").cast(pl.UInt32).alias("rank")
    ).with_columns(
        ((pl.col("rank") <= pl.col("top_n")) & (pl.col("score") > 0))
        .fill_null(value=False)
        .alias("winner")
    )


def _refuse_what_has_no_order(frame: pl.DataFrame) -> None:
    missing = [column for column in COLUMNS if column not in frame.columns]
    if missing:
        raise PermanentError(
            f"a frame to rank lacks the column(s) {', '.join(missing)}; it needs "
            f"{', '.join(COLUMNS)}"
        )
    if frame.schema["score"].is_float():
        _refuse(frame, ~pl.col("score").is_finite(), "the score {score} is not a finite number")
    _refuse(
        frame,
        pl.col("created_at").is_null(),
        "there is no created_at, the time its evidence was submitted",
    )
    _refuse(
        frame,
        pl.struct("challenge_id", "subject").is_duplicated(),
        "the wallet occurs more than once in this challenge",
    )
    _refuse(
        frame,
        pl.col("top_n").is_null() | (pl.col("top_n") < 1),
        "top_n is {top_n}, it must be a positive integer",
    )
    _refuse(
        frame,
        pl.col("top_n").n_unique().over("challenge_id") > 1,
        "top_n is {top_n} here and something else in another row of this challenge",
    )


def _refuse(frame: pl.DataFrame, condition: pl.Expr, complaint: str) -> None:
    refused = frame.filter(condition).head(1)
    if refused.is_empty():
        return
    row = refused.row(0, named=True)
    raise PermanentError(
        f"cannot rank challenge {row['challenge_id']}, wallet {row['subject']}: "
        + complaint.format(score=row["score"], top_n=row["top_n"])
    )
