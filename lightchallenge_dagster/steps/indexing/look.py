"""Look whether there is something to follow, in well under a second."""

from __future__ import annotations

import hashlib

from sqlalchemy import Engine

from lightchallenge_dagster.chain.reader import ChainReader, RangeRefused
from lightchallenge_dagster.rules.reorg import Block
from lightchallenge_dagster.steps.indexing.endpoints import remembered
from lightchallenge_dagster.steps.indexing.patience import DOUBTFUL, Patience
from lightchallenge_dagster.steps.indexing.policy import IndexPolicy, Outlook
from lightchallenge_dagster.steps.indexing.read import read_range
from lightchallenge_dagster.steps.indexing.standing import (
    View,
    common,
    require_newest,
    resume,
    stops_noted,
    view,
)
from lightchallenge_dagster.steps.indexing.write import commit
from lightchallenge_dagster.storage.checkpoints import CheckpointMoved

TICK_BLOCKS = 100
"""A look reads no more blocks than this: a longer range is a run's work."""


def look(engine: Engine, reader: ChainReader, policy: IndexPolicy) -> Outlook:
    """Whether a run is needed, in well under a second.

    A short range without logs is committed here, through the same compare-and-set as a run's, so
    that an idle chain needs no runs. An answer that cannot be true is asked for once more, of the
    next endpoint when there is one. Raises ``RpcUnavailable`` when the node cannot be read or
    contradicts itself, ``ReorgTooDeep`` when the chain has left us.
    """
    patience = Patience(reader.rpc, rounds=1 if len(reader.rpc.endpoints) > 1 else 2, waits=False)
    with remembered(engine, policy, reader.rpc), stops_noted(engine, policy):
        while True:
            try:
                return _look(engine, reader, policy)
            except DOUBTFUL as error:
                patience.lost(error)


def _look(engine: Engine, reader: ChainReader, policy: IndexPolicy) -> Outlook:
    seen = view(engine, reader, policy)
    if not isinstance(seen, View):
        return _quiet(seen, policy.start_block - 1, "the chain has not reached START_BLOCK")
    held, head = seen.held.point, seen.head
    base = common(engine, reader, policy, seen)
    if base is None:
        require_newest(reader, seen)
        reason = f"the node is at block {head.number}, behind the checkpoint {held.number}"
        return _quiet(head, held.number, reason, node_behind=True)
    target = head.number - policy.confirmations
    if base == held:
        resume(engine, policy, seen.held)
        if target <= held.number:
            require_newest(reader, seen)
            return _quiet(head, held.number, "no new confirmed block")
    last = max(target, base.number)
    waiting = Outlook(
        True,
        f"blocks {base.number + 1} to {last} wait",
        head.number,
        head.timestamp,
        held.number,
        from_block=base.number + 1,
        to_block=last,
        range_hash=hashlib.sha256(f"{held.hash}:{base.hash}:{last}".encode()).hexdigest()[:16],
        reorg_depth=held.number - base.number,
    )
    if base != held or target - held.number > min(TICK_BLOCKS, policy.max_block_range):
        return waiting
    try:
        read = read_range(
            reader,
            policy,
            held.number + 1,
            target,
            parent=held,
            dense_from=target - policy.window,
            head=head.number,
        )
    except RangeRefused:
        return waiting
    if read.logs:
        return waiting
    try:
        finalized = seen.finalized_for(reader.rpc.endpoint.label)
        commit(engine, policy, held, held, read, [], finalized=finalized)
    except CheckpointMoved:
        # What the faster run left to do, the next look will see.
        return _quiet(head, held.number, "a run moved the checkpoint meanwhile")
    empty = target - held.number
    return _quiet(head, target, f"{empty} new blocks without a log of ours", empty_blocks=empty)


def _quiet(
    head: Block, at: int, reason: str, *, empty_blocks: int = 0, node_behind: bool = False
) -> Outlook:
    return Outlook(
        False,
        reason,
        head.number,
        head.timestamp,
        at,
        from_block=at + 1,
        to_block=at,
        empty_blocks=empty_blocks,
        node_behind=node_behind,
    )
