"""Where we stand, and where the chain stands to us."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from dataclasses import dataclass
from time import time as now

from sqlalchemy import Engine

from lightchallenge_dagster.chain.reader import ChainMoved, ChainReader, NotThereYet
from lightchallenge_dagster.chain.rpc import RpcError, RpcUnavailable
from lightchallenge_dagster.errors import PermanentError
from lightchallenge_dagster.rules.reorg import (
    Block,
    Point,
    ReorgTooDeep,
    probes,
    require_not_final,
    shared,
)
from lightchallenge_dagster.steps.indexing.policy import IndexPolicy
from lightchallenge_dagster.steps.indexing.write import begin_at
from lightchallenge_dagster.storage import blocks, checkpoints
from lightchallenge_dagster.storage.checkpoints import CheckpointMoved, Standing

STANDS_STILL_S = 60
"""A newest block this much older than the machine's clock, or than another endpoint's, is doubted:
the chain makes one every two seconds."""


@dataclass(frozen=True, slots=True)
class View:
    """The checkpoint, and in one answer of ``endpoint`` its head, its newest final block (None
    where the chain does not tell) and its own block at the checkpoint's number (None: it has
    none)."""

    held: Standing
    head: Block
    finalized: Point | None
    at_checkpoint: Block | None
    endpoint: str

    def finalized_for(self, endpoint: str) -> Point | None:
        """The final block, for a range read from ``endpoint``: another one may be on a fork."""
        return self.finalized if endpoint == self.endpoint else None


def checkpoint(engine: Engine, policy: IndexPolicy) -> Point | None:
    """The last block whose logs and projections are committed; None before the first run."""
    with engine.connect() as connection:
        return checkpoints.read(connection, policy.chain_id)


def require_chain(reader: ChainReader, policy: IndexPolicy) -> None:
    """Raise ``PermanentError`` unless the node is on the policy's chain."""
    found = reader.chain_id()
    if found != policy.chain_id:
        raise PermanentError(
            f"the node is on chain {found}, LCAI_CHAIN_ID says {policy.chain_id}: nothing was read"
        )


def view(engine: Engine, reader: ChainReader, policy: IndexPolicy) -> View | Block:
    """Both sides; begins the checkpoint where there is none.

    The head alone while the chain has not reached the first block to index.
    """
    held = _held(engine, policy)
    if held is None:
        require_chain(reader, policy)
        head = reader.head()
        if head.number - policy.confirmations < policy.start_block:
            return head
        _begin(engine, reader, policy)
        held = _held(engine, policy)
        if held is None:
            raise CheckpointMoved(f"the checkpoint of chain {policy.chain_id} was taken away")
    latest = reader.latest([held.number] if held.number >= 0 else [])
    final = latest.finalized
    return View(
        held,
        latest.head,
        None if final is None else Point(final.number, final.hash),
        latest.found.get(held.number),
        reader.rpc.endpoint.label,
    )


def common(engine: Engine, reader: ChainReader, policy: IndexPolicy, seen: View) -> Point | None:
    """The newest block that the chain and we share; None when the node is merely behind us.

    Raises ``ReorgTooDeep`` when none of the headers we keep is on the chain, and
    ``ReorgPastFinality`` when the newest shared one lies below a block that was final.
    """
    held, head = seen.held, seen.head
    if held.number < 0:
        return held.point
    if seen.at_checkpoint is not None:
        if seen.at_checkpoint.hash == held.hash:
            return held.point
    elif head.number < held.number:
        if _merely_behind(engine, reader, policy, head):
            return None
    else:
        raise NotThereYet(
            f"the node is at block {head.number} and does not have block {held.number}"
        )
    with engine.connect() as connection:
        stored = blocks.headers_down_from(
            connection, policy.chain_id, held.number - 1, held.number - policy.window
        )
    for probe in probes(stored):
        chain = reader.known_blocks(point.number for point in probe)
        ancestor = shared(probe, {number: block.hash for number, block in chain.items()})
        if ancestor is not None:
            require_not_final(policy.chain_id, held.finalized, ancestor)
            return ancestor
    raise ReorgTooDeep(
        f"chain {policy.chain_id} has no block of the last {policy.window} that we hold below"
        f" {held.number} ({held.hash}). Nothing was undone. If the node is on the right chain,"
        " set the checkpoint back behind the fork by hand"
    )


def require_newest(reader: ChainReader, seen: View) -> None:
    """Raise ``NotThereYet`` when another endpoint has blocks that this one has not got for long.

    For whoever finds nothing to do: a node that stands still answers everything, and its word for
    the chain's end would be believed for ever. The others are asked only while its newest block is
    old, by the machine's clock.
    """
    others = reader.rpc.others()
    if others is None or now() - seen.head.timestamp < STANDS_STILL_S:
        return
    if all(one.rest_left_s() > 0 for one in others.endpoints):
        return
    try:
        newest = ChainReader(others).head()
    except (RpcUnavailable, RpcError):
        # Seen in that endpoint's counts.
        return
    if newest.timestamp - seen.head.timestamp >= STANDS_STILL_S:
        raise NotThereYet(
            f"endpoint {seen.endpoint} stands still at block {seen.head.number} or is far behind:"
            f" endpoint {others.endpoint.label} is at block {newest.number}"
        )


def _merely_behind(engine: Engine, reader: ChainReader, policy: IndexPolicy, head: Block) -> bool:
    """Whether a node whose head lies below our checkpoint is on our chain, as far as we can see.

    It may follow another one that is shorter: after a reorg, or since the chain began anew.
    """
    with engine.connect() as connection:
        ours = blocks.header_at_or_below(connection, policy.chain_id, head.number)
    if ours is None:
        return True
    if ours.number == head.number:
        return ours.hash == head.hash
    theirs = reader.known_blocks([ours.number]).get(ours.number)
    return theirs is None or theirs.hash == ours.hash


@contextlib.contextmanager
def stops_noted(engine: Engine, policy: IndexPolicy) -> Generator[None]:
    """Store why the body stopped, for the check that shows it, when a reorg was beyond it."""
    try:
        yield
    except ReorgTooDeep as error:
        with engine.begin() as connection:
            checkpoints.stop(connection, policy.chain_id, str(error))
        raise


def resume(engine: Engine, policy: IndexPolicy, held: Standing) -> None:
    """Forget what had stopped the follower: the chain has our checkpoint again."""
    if held.stopped_reason is not None:
        with engine.begin() as connection:
            checkpoints.resume(connection, policy.chain_id)


def _held(engine: Engine, policy: IndexPolicy) -> Standing | None:
    with engine.connect() as connection:
        return checkpoints.standing(connection, policy.chain_id)


def _begin(engine: Engine, reader: ChainReader, policy: IndexPolicy) -> None:
    base_number = policy.start_block - 1
    around = reader.blocks([n for n in (base_number, policy.start_block) if n >= 0])
    base = Point(base_number, around[policy.start_block].parent_hash)
    header = around.get(base_number)
    if header is not None and header.hash != base.hash:
        raise ChainMoved(f"block {base_number} was replaced while it was read")
    begin_at(engine, policy, base, header)
