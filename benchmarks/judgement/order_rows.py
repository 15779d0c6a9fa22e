"""Made-up verdicts to rank: many equal scores and times, so that often only the wallet decides."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from benchmarks.common import Progress
from benchmarks.judgement.made_up import ENDS, STARTS, Random, microseconds, wallets

WALLETS = 1_000_000
_BATCHES = 24


def rows(seed: int, count: int, challenges: int) -> pl.DataFrame:
    """``challenge_id``, ``subject``, ``cents`` (hundredths), ``created_at``, ``top_n``; shuffled.

    The challenges are equally large. Three fifths of the scores are whole numbers below 40, the
    others have two decimals; half of the times are those of 24 batches.
    """
    random = np.random.default_rng(seed)
    at = random.permutation(count)
    challenge = at % challenges
    pool = wallets(random, max(min(WALLETS, count), -(-count // challenges)))
    # Neighbours in the pool are distinct, so a wallet occurs once in a challenge.
    wallet = (challenge * 7919 + at // challenges) % len(pool)
    whole = random.integers(0, 40, count) * 100
    cents = np.where(random.random(count) < 0.6, whole, random.integers(0, 4000, count))
    top_n = random.integers(1, 11, challenges)
    return pl.DataFrame(
        {
            "challenge_id": challenge + 1,
            "subject": pool.gather(wallet),
            "cents": cents,
            "created_at": _times(random, count),
            "top_n": top_n[challenge],
        }
    ).with_columns(pl.from_epoch("created_at", "us").dt.replace_time_zone("UTC"))


def _times(random: Random, count: int) -> Any:
    first, last = microseconds(STARTS), microseconds(ENDS)
    batches = np.linspace(first, last, _BATCHES, endpoint=False, dtype=np.int64)
    batched = batches[random.integers(0, _BATCHES, count)]
    return np.where(random.random(count) < 0.5, batched, random.integers(first, last, count))


def run(arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """In a child: write the rows to the file ``path``."""
    progress(0.0, "making verdicts up")
    made = rows(arguments["seed"], arguments["rows"], arguments["challenges"])
    made.write_parquet(arguments["path"])
    alike = made.group_by("challenge_id", "cents", "created_at").len().filter(pl.col("len") > 1)
    return {"rows": made.height, "by_wallet": int(alike["len"].sum())}
