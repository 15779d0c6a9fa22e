"""Who wins a competitive challenge: a total order over its ranked wallets (RULES.md, Rankings)."""

from __future__ import annotations

from typing import Final, cast

import polars as pl

from lightchallenge_dagster.errors import PermanentError

COLUMNS = ("challenge_id", "subject", "score", "created_at", "top_n")
"""What a frame of wallets to rank holds, one row per (challenge, wallet)."""

_DIGITS: Final = 19
"""Digits before and after the point with which scores are compared exactly."""

_USUAL_PLACES: Final = 6
"""Digits after the point that a score of ours has at most (RULES.md)."""

_KEY_BITS: Final = 126
"""What an ``Int128`` holds without its sign, and one to spare for rows without a score."""


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
    # What was read in pieces is put together first: to pick rows out of pieces takes twice as long.
    frame = frame.rechunk()
    _refuse_what_has_no_order(frame)
    ordered = frame.select(pl.all().gather(_order(frame)))
    row = pl.int_range(pl.len(), dtype=pl.UInt32)
    begins = pl.col("challenge_id").ne_missing(pl.col("challenge_id").shift(1))
    first = pl.when(begins).then(row).forward_fill()
    return ordered.with_columns((row - first + 1).alias("rank")).with_columns(
        ((pl.col("rank") <= pl.col("top_n")) & (pl.col("score") > 0))
        .fill_null(value=False)
        .alias("winner")
    )


def _order(frame: pl.DataFrame) -> pl.Series:
    """The row numbers of ``frame`` in ranking order.

    Challenge, score and time are packed into one integer a row, which sorts many times faster than
    columns side by side; wallets are compared among the rows that it leaves equal.
    """
    packed = _packed(frame)
    if packed is None:
        return frame.select(
            pl.arg_sort_by(
                "challenge_id",
                "score",
                "created_at",
                "subject",
                descending=[False, True, False, False],
                nulls_last=True,
            )
        ).to_series()
    order = packed.arg_sort()
    key = packed.gather(order)
    tied = pl.select((key == key.shift(1)) | (key == key.shift(-1))).to_series().fill_null(False)
    places = tied.arg_true()
    if places.is_empty():
        return order
    rows = order.gather(places)
    among = pl.DataFrame({"key": key.gather(places), "row": rows}).with_columns(
        frame["subject"].gather(rows).alias("subject")
    )
    return order.scatter(places, among.sort("key", "subject")["row"])


def _packed(frame: pl.DataFrame) -> pl.Series | None:
    """One ``Int128`` a row that sorts as (challenge, score descending, time); None if too wide."""
    score = _whole_scores(frame["score"])
    if score is None or frame.is_empty():
        return None
    lowest = cast("int | None", score.min())
    last = 1 if lowest is None else 1 - lowest
    parts = pl.DataFrame([frame["challenge_id"], score, frame["created_at"].to_physical()]).select(
        pl.nth(0).cast(pl.Int128).alias("challenge"),
        # Negated the highest sorts first, and what has no score comes after the lowest.
        (_int128(0) - pl.nth(1)).fill_null(_int128(last)).alias("score"),
        pl.nth(2).cast(pl.Int128).alias("time"),
    )
    key, bits = _int128(0), 0
    for part in parts.columns:
        low, high = cast("int", parts[part].min()), cast("int", parts[part].max())
        width = (high - low).bit_length()
        bits += width
        if bits > _KEY_BITS:
            return None
        key = key * _int128(1 << width) + (pl.col(part) - _int128(low))
    return parts.select(key).to_series()


def _int128(number: int) -> pl.Expr:
    return pl.lit(number, pl.Int128)


def _whole_scores(score: pl.Series) -> pl.Series | None:
    """Whole numbers (``Int128``) in the order of the scores, as small as they can be, or None.

    Decimals are scaled by six digits where that keeps every one of them exact, else by all they
    have. The bits of a float are in its order, once those of negative ones are turned.
    """
    kind = score.dtype
    if kind.is_integer():
        return score.cast(pl.Int128)
    if kind == pl.Float64:
        bits = (score + 0.0).reinterpret(dtype=pl.Int64).alias("bits")
        turned = pl.col("bits") ^ pl.lit(2**63 - 1, pl.Int64)
        return (
            bits.to_frame()
            .select(pl.when(pl.col("bits") < 0).then(turned).otherwise("bits").cast(pl.Int128))
            .to_series()
        )
    if not isinstance(kind, pl.Decimal):
        return None
    if kind.scale > _USUAL_PLACES:
        coarse = score.cast(pl.Decimal(38, _USUAL_PLACES), strict=False)
        # Rounded up, a score at the very end may not fit any more: then it is not the same.
        if coarse.cast(kind, strict=False).eq_missing(score).all():
            return coarse.to_physical()
    return score.to_physical()


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
    # Hashes first: they are told apart many times faster, and only equal ones need a second look.
    hashes = pl.col("challenge_id").hash(1) ^ pl.col("subject").hash(2)
    if frame.select(hashes.n_unique()).item() < frame.height:
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
    several = (
        frame.group_by("challenge_id")
        .agg((pl.col("top_n").min() != pl.col("top_n").max()).alias("several"))
        .filter("several")["challenge_id"]
    )
    if not several.is_empty():
        _refuse(
            frame,
            pl.col("challenge_id").is_in(several.implode()),
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


def unrankable(entries: pl.DataFrame) -> dict[int, str]:
    """Challenges with a wallet that has no place in an order, and why it has none.

    ``entries`` holds ``challenge_id``, ``subject``, ``score`` as text, and ``created_at``.
    """
    times = pl.len().over("challenge_id", "subject")
    complaint = (
        pl.when(~pl.col("score").str.contains(r"^-?[0-9]+(\.[0-9]+)?$"))
        .then(pl.format("wallet {} has the score {}, no number", "subject", "score"))
        .when(~pl.col("score").str.contains(rf"^-?[0-9]{{1,{_DIGITS}}}(\.[0-9]{{1,{_DIGITS}}})?$"))
        .then(
            pl.format(
                "wallet {} has a score of more digits than can be compared exactly", "subject"
            )
        )
        .when(pl.col("created_at").is_null())
        .then(pl.format("wallet {} has no time at which it submitted", "subject"))
        .when(times > 1)
        .then(pl.format("wallet {} has {} verdicts, spelled differently", "subject", times))
    )
    first = (
        entries.select("challenge_id", "subject", complaint.alias("complaint"))
        .drop_nulls("complaint")
        .sort("challenge_id", "subject")
        .group_by("challenge_id", maintain_order=True)
        .first()
    )
    return dict(first.select("challenge_id", "complaint").iter_rows())


def exact_scores(entries: pl.DataFrame) -> pl.DataFrame:
    """``entries`` with their text scores as decimals, and as ``score_text`` as they were.

    Raises ``polars.exceptions.InvalidOperationError`` where ``unrankable`` ones are among them.
    """
    return entries.with_columns(
        pl.col("score").cast(pl.Decimal(2 * _DIGITS, _DIGITS)), pl.col("score").alias("score_text")
    )


def not_conserved(ranked: pl.DataFrame) -> dict[int, str]:
    """Challenges of a ranked frame whose winners are not min(topN, ranked with a score above 0)."""
    due = pl.min_horizontal(pl.col("top_n").first(), (pl.col("score") > 0).sum().cast(pl.Int64))
    counts = (
        ranked.group_by("challenge_id")
        .agg(pl.col("winner").sum().cast(pl.Int64).alias("winners"), due.alias("due"))
        .filter(pl.col("winners") != pl.col("due"))
    )
    return {
        row["challenge_id"]: f"{row['winners']} winners where {row['due']} are due"
        for row in counts.iter_rows(named=True)
    }
