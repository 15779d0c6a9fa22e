"""Rank a frame with the function that production ranks with, refusals and all."""

from __future__ import annotations

import statistics
from typing import Any

import polars as pl

from benchmarks.common import Progress, forget_peak, peak_memory
from benchmarks.judgement.order_check import checksum
from benchmarks.watch import watching
from lightchallenge_dagster.rules import ranking


def with_scores(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with their scores as exact as the ranking gets them, in one piece in memory.

    Loading is not what is measured, here as little as with PostgreSQL.
    """
    score = (pl.col("cents").cast(pl.Decimal(38, 2)) / 100).cast(pl.Decimal(38, 19))
    columns = ("challenge_id", "subject", score.alias("score"), "created_at", "top_n")
    return rows.select(columns).rechunk()


def run(arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """In a child: rank the rows in the file ``path``, so many ``times``; the median counts."""
    frame = with_scores(pl.read_parquet(arguments["path"]))
    forget_peak()
    times: list[float] = []
    cpu: list[float] = []
    ranked = frame
    for at in range(arguments["times"]):
        progress(at / arguments["times"], "Polars")
        with watching() as spent:
            ranked = ranking.rank(frame)
        times.append(spent.seconds)
        cpu.append(spent.cpu_ours)
    memory = peak_memory()
    return {
        "seconds": statistics.median(times),
        "all_seconds": times,
        "seconds_cpu": statistics.median(cpu),
        "peak_memory": memory,
        "input_bytes": frame.estimated_size(),
        "check": checksum(ranked),
    }
