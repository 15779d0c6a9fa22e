"""Where a chain that changed under us parts from the one we stored."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lightchallenge_dagster.errors import PermanentError

WINDOW = 256
"""Blocks below the confirmed head whose headers are all kept, empty blocks included."""


class ReorgTooDeep(PermanentError):
    """The chain parts from ours before the first header that we still hold. Nothing is undone."""


class ReorgPastFinality(ReorgTooDeep):
    """The chain parts from ours below a block that it had called final. Nothing is undone."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block's header. ``timestamp`` is epoch seconds, ``logs_bloom`` the 2048 bits as hex."""

    number: int
    hash: str
    parent_hash: str
    timestamp: int
    logs_bloom: str


@dataclass(frozen=True, slots=True)
class Point:
    """A block by number and hash: a checkpoint, or the ancestor that two chains share."""

    number: int
    hash: str


def probes(stored: Sequence[Point], batch: int = 16) -> Iterable[Sequence[Point]]:
    """Stored headers to compare with the chain, newest first, in growing batches.

    Most reorgs are a block or two deep, so the first batch is small; each next one doubles.
    """
    ordered = sorted(stored, key=lambda point: -point.number)
    at, size = 0, batch
    while at < len(ordered):
        yield ordered[at : at + size]
        at += size
        size *= 2


def shared(probe: Sequence[Point], chain: Mapping[int, str]) -> Point | None:
    """The newest of ``probe`` (newest first) that the chain has with the same hash, if any."""
    for point in probe:
        if chain.get(point.number) == point.hash:
            return point
    return None


def unlinked(headers: Sequence[Block]) -> int | None:
    """Number of the first header whose parent is not the one before it; None when all link.

    Only neighbours are compared: a gap in the numbers says nothing.
    """
    for before, after in itertools.pairwise(headers):
        if after.number == before.number + 1 and after.parent_hash != before.hash:
            return after.number
    return None


def newly_final(tag: Point | None, end: Point, first_block: int) -> Point | None:
    """The newest indexed block that is final, when the chain's own tag is ``tag``.

    ``end`` is the newest indexed block and of the same chain, ``first_block`` the oldest. None
    when the chain has no such tag, or had none of our blocks final yet.
    """
    if tag is None or tag.number < first_block - 1:
        return None
    return tag if tag.number <= end.number else end


def require_not_final(chain_id: int, final: Point | None, ancestor: Point) -> None:
    """Raise ``ReorgPastFinality`` when to go back to ``ancestor`` is to undo a final block."""
    if final is not None and ancestor.number < final.number:
        raise ReorgPastFinality(
            f"chain {chain_id} parts from ours after block {ancestor.number} ({ancestor.hash}),"
            f" below block {final.number} ({final.hash}) that it had called final. Nothing was"
            " undone. If the node is on the right chain, set the checkpoint back behind the fork"
            " by hand"
        )
