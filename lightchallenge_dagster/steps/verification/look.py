"""Look whether blocks wait for their second reading, in well under a second."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Engine

from lightchallenge_dagster.chain.reader import ChainReader, RangeRefused
from lightchallenge_dagster.steps.indexing.endpoints import remembered
from lightchallenge_dagster.steps.indexing.policy import IndexPolicy
from lightchallenge_dagster.steps.verification.compare import pass_equal
from lightchallenge_dagster.steps.verification.streams import lowest, next_task
from lightchallenge_dagster.steps.verification.witnesses import (
    Contradiction,
    Dispute,
    Witnesses,
    require_same_chain,
)

VERIFY_BEHIND_BLOCKS = 64
"""Blocks below the checkpoint that are left to settle before they are read again."""

LOOK_BLOCKS = 500
"""A look reads no more blocks than this: a longer backlog is a run's work."""

PAUSE_S = 60.0
"""A look leaves a disputed block alone for this long: two nodes do not agree faster if asked."""


@dataclass(frozen=True, slots=True)
class VerifyOutlook:
    """What a look found. Blocks are inclusive.

    ``waiting``: a run has to read ``from_block`` to ``to_block`` again. Otherwise ``blocks`` were
    read again just now and found equal. ``verified`` is the lowest watermark, None before there
    is a checkpoint.
    """

    waiting: bool
    reason: str
    verified: int | None
    from_block: int = 0
    to_block: int = -1
    blocks: int = 0


def look(
    engine: Engine,
    reader: ChainReader,
    policy: IndexPolicy,
    *,
    behind: int = VERIFY_BEHIND_BLOCKS,
    pause_s: float = PAUSE_S,
) -> VerifyOutlook:
    """Whether a run is needed. A short range that is equal is passed here and now.

    Raises ``RpcUnavailable`` when no endpoint can be read, and ``PermanentError`` for a node of
    another chain.
    """
    with remembered(engine, policy, reader.rpc):
        return _look(engine, reader, policy, behind, pause_s)


def _look(
    engine: Engine, reader: ChainReader, policy: IndexPolicy, behind: int, pause_s: float
) -> VerifyOutlook:
    task = next_task(engine, policy, behind, pause_s=pause_s)
    if isinstance(task, str):
        return VerifyOutlook(False, task, lowest(engine, policy))
    first, last = task.watermark + 1, task.target
    waiting = VerifyOutlook(True, f"blocks {first} to {last} wait", task.watermark, first, last)
    witnesses = Witnesses.of(reader)
    if last - first + 1 > min(LOOK_BLOCKS, policy.max_block_range, witnesses.range_blocks):
        return waiting
    try:
        read, source = witnesses.read_again(policy, task.addresses, first, last)
        require_same_chain(engine, policy, witnesses, source, read)
    except (RangeRefused, Contradiction, Dispute):
        return waiting
    if pass_equal(engine, policy, task, read) is not None:
        return replace(waiting, reason=f"blocks {first} to {last} differ from what is stored")
    equal = last - first + 1
    return VerifyOutlook(False, f"{equal} blocks read again are equal", last, first, last, equal)
