"""How much of the chain to ask for at a time, and what a node's refusal means."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

PARTITION_BLOCKS = 100_000
"""Blocks in one partition of chain_logs."""

_PARTITION_DIGITS = 9
_GROW_AFTER = 3
_RATE = re.compile(r"rate.?limit|too many requests|request rate|compute units|quota|throttl", re.I)
_REFUSAL = re.compile(
    r"too many (results|logs|blocks)|more than [\d,_]+ (results|logs|blocks)"
    r"|(block )?range.{0,40}(large|wide|big|exceed|limit|maximum|greater)"
    r"|exceed.{0,40}(range|limit|size|results|blocks)|(limited|up) to .{0,20}(block|range|results)"
    r"|response (size|is)?.{0,30}(big|large|exceed|limit)|too (big|large|wide)"
    r"|limit exceeded|query (timeout|timed out)|timed out|timeout|result set|try .{0,30}range"
    r"|max(imum)? .{0,20}(block|range|results|logs)",
    re.I,
)


@dataclass(frozen=True, slots=True)
class RangeSize:
    """Blocks in the next request: halved when the node refuses, grown back slowly when it serves.

    ``maximum`` is the configured MAX_BLOCK_RANGE; ``served`` counts the answers since the last
    change.
    """

    blocks: int
    maximum: int
    served: int = 0

    @staticmethod
    def start(maximum: int) -> RangeSize:
        """Begin with the whole configured range. Raises ``ValueError`` for a range below one."""
        if maximum < 1:
            raise ValueError(f"MAX_BLOCK_RANGE is {maximum}; it has to be at least 1")
        return RangeSize(maximum, maximum)

    @property
    def can_halve(self) -> bool:
        """Whether a refusal can still be answered by asking for less."""
        return self.blocks > 1

    def within(self, maximum: int) -> RangeSize:
        """The same under another MAX_BLOCK_RANGE: what was never refused is open to it."""
        blocks = maximum if self.blocks >= self.maximum else min(self.blocks, maximum)
        return replace(RangeSize.start(maximum), blocks=blocks, served=self.served)

    def refused(self, suggestion: int | None = None, *, asked: int | None = None) -> RangeSize:
        """What to ask for after ``asked`` blocks (else ``blocks``) were refused: at least one.

        Half of that, or what the provider suggests, if it is less than what it refused.
        """
        asked = self.blocks if asked is None else asked
        less = max(1, asked // 2)
        if suggestion is not None and 1 <= suggestion < asked:
            less = suggestion
        # A larger request than ours was another endpoint's: its refusal says nothing more here.
        return replace(self, blocks=min(self.blocks, less), served=0)

    def accepted(self, asked: int | None = None) -> RangeSize:
        """A quarter more after three answers in a row, up to the maximum.

        An answer to fewer blocks (``asked``) than ``blocks`` says nothing about more.
        """
        if self.blocks >= self.maximum or (asked is not None and asked < self.blocks):
            return self
        if self.served + 1 < _GROW_AFTER:
            return replace(self, served=self.served + 1)
        grown = min(self.maximum, self.blocks + max(1, self.blocks // 4))
        return replace(self, blocks=grown, served=0)

    def following(self, last: int, target: int) -> tuple[int, int] | None:
        """First and last block of the next request after ``last``; None when target is reached."""
        if target <= last:
            return None
        return last + 1, min(target, last + self.blocks)


def is_range_refusal(code: int | None, message: str) -> bool:
    """Whether a node's error to ``eth_getLogs`` means "ask for less", not "ask less often"."""
    if _RATE.search(message):
        return False
    return code == -32005 or bool(_REFUSAL.search(message))


def is_rate_limit(code: int | None, message: str) -> bool:
    """Whether a node's error means "ask less often": an outage, not an answer."""
    return code == 429 or bool(_RATE.search(message))


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
