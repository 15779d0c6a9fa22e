"""Rank the same rows with pandas, scores and times in the types that it sorts fastest."""

from __future__ import annotations

from typing import Any

import pandas as pd
import polars as pl

from benchmarks.common import Progress, forget_peak, peak_memory
from benchmarks.judgement.order_check import checksum
from benchmarks.watch import watching

KEYS = ["challenge_id", "cents", "created_at", "subject"]


def data(rows: pl.DataFrame) -> pd.DataFrame:
    """The rows: whole numbers, naive times, wallets as text."""
    return pd.DataFrame(
        {
            "challenge_id": rows["challenge_id"].to_numpy(),
            "subject": pd.Series(rows["subject"].to_list(), dtype="str"),
            "cents": rows["cents"].to_numpy(),
            "created_at": rows["created_at"].dt.replace_time_zone(None).to_numpy(),
            "top_n": rows["top_n"].to_numpy(),
        }
    )


def rank(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows in order, with ``rank`` and ``winner``."""
    ordered = rows.sort_values(KEYS, ascending=[True, False, True, True])
    ordered["rank"] = ordered.groupby("challenge_id", sort=False).cumcount() + 1
    ordered["winner"] = (ordered["rank"] <= ordered["top_n"]) & (ordered["cents"] > 0)
    return ordered


def run(arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """In a child: rank the rows in the file ``path``.

    ``gift``: once more with the wallets numbered in their order beforehand, which is not counted.
    """
    progress(0.0, "pandas, loading")
    rows = data(pl.read_parquet(arguments["path"]))
    forget_peak()
    progress(0.2, "pandas")
    with watching() as spent:
        ranked = rank(rows)
    memory = peak_memory()
    kept = {"challenge_id", "subject", "rank", "winner"}
    check = checksum(pl.DataFrame({name: ranked[name].to_numpy() for name in kept}))
    del ranked
    with watching() as numbering:
        rows["subject"] = rows["subject"].astype("category").cat.as_ordered()
    progress(0.6, "pandas, wallets numbered beforehand")
    with watching() as gift:
        rank(rows)
    return {
        "seconds": spent.seconds,
        "seconds_cpu": spent.cpu_ours,
        "check": check,
        "peak_memory": memory,
        "gift": {"seconds": gift.seconds, "seconds_numbering": numbering.seconds},
    }
