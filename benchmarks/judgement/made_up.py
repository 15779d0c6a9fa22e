"""What all made-up rows have in common: wallets, and times around one challenge's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

STARTS = datetime(2026, 3, 1, tzinfo=UTC)
ENDS = datetime(2026, 3, 8, tzinfo=UTC)
DEADLINE = datetime(2026, 3, 9, tzinfo=UTC)
CLOSED = DEADLINE
"""By now every ranking has closed."""
PARTITION = ENDS.date().isoformat()
CHAIN_ID = 504
HASH = "0x" + "11" * 32

Random = np.random.Generator
Numbers = np.ndarray[Any, np.dtype[np.int64]]


def wallets(random: Random, count: int) -> pl.Series:
    """So many wallets, 42 characters each, in no order."""
    return hexes(random, count, 20)


def hexes(random: Random, count: int, size: int) -> pl.Series:
    """So many 0x-texts of ``size`` random bytes."""
    data = random.bytes(count * size).hex()
    width = 2 * size
    return pl.Series([f"0x{data[at : at + width]}" for at in range(0, len(data), width)])


def microseconds(moment: datetime) -> int:
    """Since 1970, as Polars and PostgreSQL count."""
    return int(moment.timestamp()) * 1_000_000
