"""What has to come out the same, whoever ranks: counts, and sums that any swap of rows changes."""

from __future__ import annotations

import polars as pl

WALLET_DIGITS = 15
"""Hex digits of a wallet that are read as a number: below 2^60."""

PRIMES = (65_521, 1_021, 1_019)
"""A wallet, its challenge and its rank are taken modulo these, so that no sum overflows."""

NAMES = ("rows", "winners", "ranks", "places")


def checksum(ranked: pl.DataFrame) -> dict[str, int]:
    """Of a frame with ``challenge_id``, ``subject``, ``rank`` and ``winner``."""
    number = pl.col("subject").str.slice(2, WALLET_DIGITS).str.to_integer(base=16)
    wallet, challenge, rank = (
        column.cast(pl.Int64) % prime
        for column, prime in zip(
            (number, pl.col("challenge_id"), pl.col("rank")), PRIMES, strict=True
        )
    )
    sums = ranked.select(
        pl.len().cast(pl.Int64).alias("rows"),
        pl.col("winner").sum().cast(pl.Int64).alias("winners"),
        (wallet * challenge * rank).sum().alias("ranks"),
        (wallet * challenge).filter(pl.col("winner")).sum().alias("places"),
    )
    return dict(zip(NAMES, sums.row(0), strict=True))
