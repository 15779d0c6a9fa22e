"""How much of the chain to ask for at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lightchallenge_dagster.rules.refusals import (
    is_lost_state,
    is_range_refusal,
    is_rate_limit,
    is_unknown_block,
    suggested_blocks,
    suggested_range,
)

__all__ = [
    "PARTITION_BLOCKS",
    "RangeSize",
    "is_lost_state",
    "is_range_refusal",
    "is_rate_limit",
    "is_suspicious",
    "is_unknown_block",
    "partition_bounds",
    "partition_of",
    "partitions_of",
    "suggested_blocks",
    "suggested_range",
]

PARTITION_BLOCKS = 100_000
"""Blocks in one partition of chain_logs."""

SUSPICIOUS_COUNTS = frozenset({25, 100, 256, 1000, 10_000})
"""Where nodes and gateways are known to cut a list of logs off without saying so."""

_PARTITION_DIGITS = 9
_GROW_AFTER = 3
_GROW_AFTER_REFUSAL = 30


@dataclass(frozen=True, slots=True)
class RangeSize:
    """Blocks in the next request: less when the node refuses, grown back slowly when it serves.

    ``maximum`` is the configured MAX_BLOCK_RANGE; ``served`` counts the answers since the last
    change; ``refused_at`` is the smallest size refused and not served since.
    """

    blocks: int
    maximum: int
    served: int = 0
    refused_at: int | None = None

    @staticmethod
    def start(maximum: int) -> RangeSize:
        """Begin with the whole configured range. Raises ``ValueError`` for a range below one."""
        if maximum < 1:
            raise ValueError(f"MAX_BLOCK_RANGE is {maximum}; it has to be at least 1")
        return RangeSize(maximum, maximum)

    def within(self, maximum: int) -> RangeSize:
        """The same under another MAX_BLOCK_RANGE: what was never refused is open to it."""
        blocks = maximum if self.blocks >= self.maximum else min(self.blocks, maximum)
        return replace(self, blocks=blocks, maximum=RangeSize.start(maximum).maximum)

    def refused(self, suggestion: int | None = None, *, asked: int | None = None) -> RangeSize:
        """What to ask for after ``asked`` blocks (else ``blocks``) were refused: at least one.

        What the provider suggests, if that is less than what it refused; else half of it.
        """
        asked = self.blocks if asked is None else asked
        less = max(1, asked // 2)
        if suggestion is not None and 1 <= suggestion < asked:
            less = suggestion
        limit = asked if self.refused_at is None else min(asked, self.refused_at)
        # More than ours was sized for another endpoint: ours stands, and is smaller already.
        return replace(self, blocks=min(self.blocks, less), served=0, refused_at=limit)

    def accepted(self, asked: int | None = None) -> RangeSize:
        """A quarter more after three answers in a row, up to the maximum.

        A size that was refused is tried again after thirty. An answer to fewer blocks (``asked``)
        than ``blocks`` says nothing about more.
        """
        if asked is not None and asked < self.blocks:
            return self
        size = self
        if size.refused_at is not None and size.refused_at <= size.blocks:
            size = replace(size, refused_at=None)
        if size.blocks >= size.maximum:
            return size
        grown = min(size.maximum, size.blocks + max(1, size.blocks // 4))
        again = size.refused_at is not None and grown >= size.refused_at
        if size.served + 1 < (_GROW_AFTER_REFUSAL if again else _GROW_AFTER):
            return replace(size, served=size.served + 1)
        return replace(size, blocks=grown, served=0)

    def following(self, last: int, target: int) -> tuple[int, int] | None:
        """First and last block of the next request after ``last``; None when target is reached."""
        if target <= last:
            return None
        return last + 1, min(target, last + self.blocks)


def is_suspicious(count: int) -> bool:
    """Whether so many logs in one answer may be the first part of more."""
    return count in SUSPICIOUS_COUNTS


def partition_of(block: int) -> str:
    """The chain_logs partition of a block: ``"004500000-004599999"``, sortable as text."""
    first = block - block % PARTITION_BLOCKS
    return f"{first:0{_PARTITION_DIGITS}d}-{first + PARTITION_BLOCKS - 1:0{_PARTITION_DIGITS}d}"


def partitions_of(first: int, last: int) -> tuple[str, ...]:
    """Every chain_logs partition that the blocks from ``first`` to ``last`` lie in."""
    if last < first:
        return ()
    start = first - first % PARTITION_BLOCKS
    return tuple(partition_of(block) for block in range(start, last + 1, PARTITION_BLOCKS))


def partition_bounds(key: str) -> tuple[int, int]:
    """First and last block of a partition key; ``ValueError`` for text that is not one."""
    first, _, last = key.partition("-")
    if not (first.isdigit() and last.isdigit()) or partition_of(int(first)) != key:
        raise ValueError(f"{key!r} is not a chain_logs partition such as {partition_of(0)!r}")
    return int(first), int(last)
