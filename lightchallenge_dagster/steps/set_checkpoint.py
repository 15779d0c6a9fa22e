"""Set the checkpoint by hand: to seed a new deployment, or to read blocks again from further back.

The runbook's seedStatusIndexer for all events at once. Going back undoes what hangs above the
block as a reorg would, and the follower reads it again; going forward over blocks that were never
read is refused, because what happened in them would be missing for ever.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine

from lightchallenge_dagster.chain.reader import ChainReader
from lightchallenge_dagster.errors import PermanentError
from lightchallenge_dagster.rules.reorg import Block, Point
from lightchallenge_dagster.steps.indexing.endpoints import remembered
from lightchallenge_dagster.steps.indexing.policy import IndexPolicy
from lightchallenge_dagster.steps.indexing.write import begin_at
from lightchallenge_dagster.storage import blocks, checkpoints, projections, verified
from lightchallenge_dagster.storage.checkpoints import CheckpointMoved, Standing
from lightchallenge_dagster.storage.projections import PROJECTIONS

SEED_LOOKBACK = 50_000
"""Runbook, section 12: STATUS_INDEXER_SEED_LOOKBACK, about twelve hours of this chain."""

_LAST_BLOCK = 2**63 - 1
_ASKED = 20
"""Ranges asked for, to say what blocks that would be skipped hold."""


class CheckpointRefused(PermanentError):
    """The checkpoint cannot be set there; nothing was changed."""


@dataclass(frozen=True, slots=True)
class SetCheckpointReport:
    """Where the checkpoint was (None: there was none) and is, and what was undone in between.

    The next block to be read is ``block`` + 1. ``first_block`` is the first one ever indexed,
    ``rows_changed`` counts by table.
    """

    before: int | None
    block: int
    block_hash: str
    first_block: int
    undone_headers: int
    undone_logs: int
    rows_changed: dict[str, int]
    was_stopped: str | None


def set_checkpoint(
    engine: Engine,
    reader: ChainReader,
    policy: IndexPolicy,
    *,
    block: int | None = None,
    look_back: int | None = None,
) -> SetCheckpointReport:
    """Set the checkpoint to ``block``, or to ``look_back`` blocks below the confirmed head.

    One transaction, compare-and-set on the checkpoint as it was. Raises ``CheckpointRefused``
    when the chain has not confirmed the block, when blocks in between were never read, or when
    what is stored up to there is not the chain's; ``CheckpointMoved`` when the follower was
    faster; ``RpcUnavailable`` when the chain cannot be read.
    """
    if (block is None) == (look_back is None):
        raise CheckpointRefused("say either the block, or how many blocks to look back")
    with remembered(engine, policy, reader.rpc):
        return _set(engine, reader, policy, block, look_back)


def _set(
    engine: Engine,
    reader: ChainReader,
    policy: IndexPolicy,
    block: int | None,
    look_back: int | None,
) -> SetCheckpointReport:
    found = reader.chain_id()
    if found != policy.chain_id:
        raise CheckpointRefused(
            f"the node is on chain {found}, LCAI_CHAIN_ID says {policy.chain_id}: nothing was set"
        )
    confirmed = reader.head().number - policy.confirmations
    number = max(0, confirmed - look_back) if look_back is not None else block
    if number is None or number < 0:
        raise CheckpointRefused(f"block {number} is below the chain's first block")
    if number > confirmed:
        raise CheckpointRefused(
            f"block {number} is not confirmed yet: the confirmed head is block {confirmed}"
            f" ({policy.confirmations} confirmations)"
        )
    header = reader.block(number)
    with engine.connect() as connection:
        held = checkpoints.standing(connection, policy.chain_id)
    if held is None:
        return _seed(engine, policy, header)
    if number > held.number:
        raise CheckpointRefused(_loss(reader, policy, held, number))
    _same_below(engine, reader, policy, held, header)
    return _back_to(engine, policy, held, header)


def _seed(engine: Engine, policy: IndexPolicy, header: Block) -> SetCheckpointReport:
    base = Point(header.number, header.hash)
    begin_at(engine, policy, base, header)
    with engine.connect() as connection:
        held = checkpoints.standing(connection, policy.chain_id)
    if held is None or held.point != base:
        raise CheckpointMoved("the follower set a checkpoint of its own meanwhile; set it again")
    return SetCheckpointReport(None, held.number, held.hash, held.first_block, 0, 0, {}, None)


def _loss(reader: ChainReader, policy: IndexPolicy, held: Standing, number: int) -> str:
    """Why the checkpoint does not go forward, with what lies in the blocks to be skipped."""
    last = min(number, held.number + _ASKED * policy.max_block_range)
    events = 0
    for first in range(held.number + 1, last + 1, policy.max_block_range):
        end = min(last, first + policy.max_block_range - 1)
        events += len(reader.logs(list(policy.roles), policy.topics, first, end))
    some = "" if last == number else f" the first {last - held.number} of"
    return (
        f"blocks {held.number + 1} to {number} were never read, and would never be: {events} events"
        f" of our contracts in{some} these {number - held.number} blocks would be missing, with"
        " every stake, claim and winner that follows from them. Let follow_chain read them. To"
        " begin later on purpose, empty the pipeline schema and seed before the sensors start"
    )


def _same_below(
    engine: Engine, reader: ChainReader, policy: IndexPolicy, held: Standing, header: Block
) -> None:
    """Refuse a block below which something is stored that the chain does not have."""
    if header.number < held.first_block - 1:
        return
    base = held.first_block - 1
    near = max(base, header.number - policy.window)
    with engine.connect() as connection:
        stored = blocks.headers_down_from(connection, policy.chain_id, header.number, near)
        if not stored:
            stored = blocks.headers_down_from(connection, policy.chain_id, header.number, base)
    newest = stored[0] if stored else None
    if newest is None:
        return
    theirs = header.hash
    if newest.number != header.number:
        theirs = reader.block(newest.number).hash
    if theirs == newest.hash:
        return
    lower = [point.number for point in stored[1:]]
    shared = reader.known_blocks(lower[:256])
    good = next((p.number for p in stored[1:257] if _hash(shared, p.number) == p.hash), None)
    remedy = (
        f"set it to block {good} or below"
        if good is not None
        else "go further back, or below the first indexed block to read everything again"
    )
    raise CheckpointRefused(
        f"block {newest.number} is stored as {newest.hash}, the chain says {theirs}: what is stored"
        f" below block {header.number} is of another chain, too; {remedy}"
    )


def _hash(found: dict[int, Block], number: int) -> str | None:
    return found[number].hash if number in found else None


def _back_to(
    engine: Engine, policy: IndexPolicy, held: Standing, header: Block
) -> SetCheckpointReport:
    chain, base = policy.chain_id, Point(header.number, header.hash)
    headers = undone = 0
    rows: dict[str, int] = {}
    with engine.begin() as connection:
        checkpoints.hold(connection, chain, held.point)
        first_block = min(held.first_block, base.number + 1)
        if base != held.point:
            projections.begin(connection)
            projections.touch(connection, chain, base.number + 1, _LAST_BLOCK, orphaned=True)
            headers, undone = blocks.undo_after(connection, chain, base.number)
            verified.undo_after(connection, chain, base)
            checkpoints.forget_finality_above(connection, chain, base.number)
            if blocks.header_at(connection, chain, base.number) is None:
                blocks.add_headers(connection, chain, [header], {})
            if first_block < held.first_block:
                checkpoints.begin_earlier(connection, chain, first_block)
            changed = projections.recompute(connection, chain, first_block)
            rows = {PROJECTIONS[name]: count for name, count in changed.items() if count}
        checkpoints.move(connection, chain, base, mirror=policy.mirror)
    return SetCheckpointReport(
        held.number,
        base.number,
        base.hash,
        first_block,
        headers,
        undone,
        rows,
        held.stopped_reason,
    )
