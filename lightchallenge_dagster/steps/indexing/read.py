"""Read a range from a node so that what comes back is one consistent piece of one chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lightchallenge_dagster.chain.reader import (
    Block,
    ChainMoved,
    ChainReader,
    RangeRefused,
    RawLog,
)
from lightchallenge_dagster.rules.events import is_registered, topics_for
from lightchallenge_dagster.rules.reorg import Point, unlinked
from lightchallenge_dagster.steps.indexing.describe import (
    AchievementSnapshot,
    ChallengeSnapshot,
    describe,
)
from lightchallenge_dagster.steps.indexing.doubt import Doubt, in_parts
from lightchallenge_dagster.steps.indexing.policy import IndexPolicy

__all__ = [
    "NEAR_HEAD",
    "AchievementSnapshot",
    "ChainMoved",
    "ChallengeSnapshot",
    "ReadRange",
    "confirm",
    "describe",
    "read_range",
]

NEAR_HEAD = 64
"""Blocks below a node's head whose logs are read by block hash: a range by number could be of
another chain than the headers, or of a node that has not got so far, and be empty for it."""


@dataclass(frozen=True, slots=True)
class ReadRange:
    """Blocks ``first`` to ``last`` of one chain: kept headers in order, and all their logs.

    Of these blocks ``by_hash`` were read by their hash; ``compared`` answers were read a second
    time, because their number of logs is one at which nodes cut off.
    """

    first: int
    last: int
    headers: list[Block]
    logs: list[RawLog]
    by_hash: int = 0
    compared: int = 0

    @property
    def end(self) -> Block:
        return self.headers[-1]


def read_range(
    reader: ChainReader,
    policy: IndexPolicy,
    first: int,
    last: int,
    *,
    parent: Point | None,
    dense_from: int,
    addresses: Sequence[str] | None = None,
    head: int | None = None,
) -> ReadRange:
    """Headers and logs of the blocks ``first`` to ``last``, of ``addresses`` (all by default).

    Headers are read for the ends, for every block from ``dense_from`` on and for blocks with
    logs. ``parent`` is the block before ``first``, when it is known. The last ``NEAR_HEAD`` blocks
    below ``head``, the node's own, are read by hash. Raises ``ChainMoved`` when the pieces do not
    fit together, ``NotThereYet`` when the node lacks a block, ``Truncated`` and other
    ``BadAnswer`` when logs are missing that other answers or a header's bloom speak of,
    ``RangeRefused`` when the node wants a smaller range.
    """
    roles = {
        address: role
        for address, role in policy.roles.items()
        if addresses is None or address in addresses
    }
    topics = topics_for(roles.values())
    doubt = Doubt(reader, roles)
    near = last + 1 if head is None else min(last + 1, max(first, head - NEAR_HEAD + 1))
    numbers = sorted({first, last, *range(max(first, min(dense_from, near)), last + 1)})
    if first < near:
        wanted = sorted({*numbers, near - 1})
        try:
            headers, found = reader.blocks_and_logs(wanted, list(roles), topics, first, near - 1)
            compared = doubt.compare(topics, first, near - 1, found)
        except RangeRefused as refused:
            if refused.late or first < near - 1:
                raise
            # One block is the smallest range there is.
            headers, compared = reader.blocks(wanted), 0
            found = in_parts(reader, headers[first], roles)
    else:
        headers, found, compared = reader.blocks(numbers), list[RawLog](), 0
    if parent is not None and headers[first].parent_hash != parent.hash:
        raise ChainMoved(f"block {first} does not follow block {parent.number} that we hold")
    _require_links(headers)
    if near <= last:
        try:
            by_hash = reader.logs_of([headers[n] for n in range(near, last + 1)], list(roles))
        except RangeRefused as refused:
            if refused.late or near < last:
                raise
            by_hash = {last: in_parts(reader, headers[last], roles)}
        found += [log for number in range(near, last + 1) for log in by_hash[number]]
    logs = [log for log in found if log.topics and is_registered(roles[log.address], log.topics[0])]
    bare = {log.block_number for log in logs} - headers.keys()
    if bare:
        headers |= reader.blocks(sorted(bare))
        _require_links(headers)
    for log in logs:
        if log.block_hash != headers[log.block_number].hash:
            raise ChainMoved(
                f"a log of block {log.block_number} names the block {log.block_hash},"
                f" the header says {headers[log.block_number].hash}"
            )
    doubt.silence(headers, logs, dense_from=dense_from, near=near)
    ordered = [headers[number] for number in sorted(headers)]
    return ReadRange(first, last, ordered, logs, last + 1 - near, compared)


def confirm(reader: ChainReader, read: ReadRange) -> None:
    """Raise ``ChainMoved`` unless the range's last block is still the chain's."""
    if reader.block(read.last).hash != read.end.hash:
        raise ChainMoved(f"block {read.last} was replaced while the range was read")


def _require_links(headers: dict[int, Block]) -> None:
    broken = unlinked([headers[number] for number in sorted(headers)])
    if broken is not None:
        raise ChainMoved(f"block {broken} does not follow block {broken - 1}")
