"""Index the chain: follow it, look whether there is something to follow, heal and rebuild.

One reader fills pipeline.chain_logs for all contracts; everything else is a projection of it.
``follow`` moves the checkpoint, in one transaction with all that it covers; ``look`` may do so for
a range that it has seen to be empty; ``heal`` and ``rebuild`` never do.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Engine

from lightchallenge_dagster.chain.reader import ChainReader, RangeRefused
from lightchallenge_dagster.errors import PermanentError
from lightchallenge_dagster.rules.ranges import RangeSize, partitions_of
from lightchallenge_dagster.rules.reorg import Block, Point, ReorgTooDeep, probes, shared
from lightchallenge_dagster.steps.indexing.policy import (
    IndexPolicy,
    IndexReport,
    Outlook,
    RebuildReport,
)
from lightchallenge_dagster.steps.indexing.read import (
    AchievementSnapshot,
    ChainMoved,
    ChallengeSnapshot,
    ReadRange,
    confirm,
    describe,
    read_range,
)
from lightchallenge_dagster.steps.indexing.write import Written, begin_at, commit, repair
from lightchallenge_dagster.storage import blocks, checkpoints, projections
from lightchallenge_dagster.storage.checkpoints import CheckpointMoved
from lightchallenge_dagster.storage.projections import PROJECTIONS

__all__ = [
    "PROJECTIONS",
    "AchievementSnapshot",
    "ChainMoved",
    "ChallengeSnapshot",
    "CheckpointMoved",
    "IndexPolicy",
    "IndexReport",
    "Outlook",
    "RebuildReport",
    "ReorgTooDeep",
    "checkpoint",
    "follow",
    "heal",
    "look",
    "rebuild",
]

TICK_BLOCKS = 100
"""A look reads no more blocks than this: a longer range is a run's work."""


def checkpoint(engine: Engine, policy: IndexPolicy) -> Point | None:
    """The last block whose logs and projections are committed; None before the first run."""
    with engine.connect() as connection:
        return checkpoints.read(connection, policy.chain_id)


def look(engine: Engine, reader: ChainReader, policy: IndexPolicy) -> Outlook:
    """Whether a run is needed, in well under a second.

    A short range without logs is committed here, through the same compare-and-set as a run's, so
    that an idle chain needs no runs. Raises ``RpcUnavailable`` when the node cannot be read or
    contradicts itself, ``ReorgTooDeep`` when the chain has left us.
    """
    started = _start(engine, reader, policy)
    if isinstance(started, Block):
        return _quiet(started, policy.start_block - 1, "the chain has not reached START_BLOCK")
    held, head = started.checkpoint, started.head
    base = _common(engine, reader, policy, started)
    if base is None:
        reason = f"the node is at block {head.number}, behind the checkpoint {held.number}"
        return _quiet(head, held.number, reason, node_behind=True)
    target = head.number - policy.confirmations
    if base == held and target <= held.number:
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
        )
    except RangeRefused:
        return waiting
    if read.logs:
        return waiting
    confirm(reader, read)
    try:
        commit(engine, policy, held, held, read, [])
    except CheckpointMoved:
        # What the faster run left to do, the next look will see.
        return _quiet(head, held.number, "a run moved the checkpoint meanwhile")
    empty = target - held.number
    return _quiet(head, target, f"{empty} new blocks without a log of ours", empty_blocks=empty)


def follow(
    engine: Engine,
    reader: ChainReader,
    policy: IndexPolicy,
    snapshot: ChallengeSnapshot,
    heartbeat: Callable[[], None] | None = None,
    *,
    achievement: AchievementSnapshot | None = None,
) -> IndexReport:
    """Index up to the confirmed head, range by range, each in one transaction.

    ``snapshot`` reads a challenge beside its creation, ``achievement`` a token beside an
    AdminMinted that no AchievementMinted explains. ``heartbeat`` is called before each range and
    ends the run by raising. What was committed before an error stays; the rest is read again by
    the next run. Raises ``RpcUnavailable``, ``RpcError``, ``ReorgTooDeep``, ``CheckpointMoved``.
    """
    _require_chain(reader, policy)
    tally = _Tally(reader)
    size = RangeSize.start(policy.max_block_range)
    while True:
        if heartbeat is not None:
            heartbeat()
        started = _start(engine, reader, policy)
        if isinstance(started, Block):
            return tally.report(started, None)
        held, head = started.checkpoint, started.head
        base = _common(engine, reader, policy, started)
        if base is None:
            return tally.report(head, started)
        target = head.number - policy.confirmations
        span = size.following(base.number, target)
        if span is None and base == held:
            return tally.report(head, started)
        read, logs = None, []
        if span is not None:
            try:
                read = read_range(
                    reader, policy, *span, parent=base, dense_from=target - policy.window
                )
            except RangeRefused:
                if not size.can_halve:
                    raise
                size = size.refused()
                tally.splits += 1
                continue
            size = size.accepted()
            times = {header.number: header.timestamp for header in read.headers}
            logs = describe(policy, read.logs, times, snapshot, achievement)
            confirm(reader, read)
        before = time.perf_counter()
        written = commit(engine, policy, held, base, read, logs)
        tally.seconds_sql += time.perf_counter() - before
        tally.add(written, read, base, held)
        tally.undecoded += sum(log.event.problem is not None for log in logs)


def heal(
    engine: Engine,
    reader: ChainReader,
    policy: IndexPolicy,
    snapshot: ChallengeSnapshot,
    from_block: int,
    to_block: int,
    heartbeat: Callable[[], None] | None = None,
    *,
    achievement: AchievementSnapshot | None = None,
) -> IndexReport:
    """Read blocks again and make the stored logs equal to the chain's; never beyond the checkpoint.

    Logs that were missed are added, wrong ones dropped, and the projections of their keys
    recomputed; the report counts both. Bounds are cut to what is indexed. Raises as ``follow``.
    """
    _require_chain(reader, policy)
    tally = _Tally(reader)
    started = _start(engine, reader, policy)
    if isinstance(started, Block):
        return tally.report(started, None)
    end = min(to_block, started.checkpoint.number)
    size = RangeSize.start(policy.max_block_range)
    last = max(from_block, started.first_block) - 1
    while (span := size.following(last, end)) is not None:
        if heartbeat is not None:
            heartbeat()
        try:
            read = read_range(reader, policy, *span, parent=None, dense_from=end + 1)
        except RangeRefused:
            if not size.can_halve:
                raise
            size = size.refused()
            tally.splits += 1
            continue
        size = size.accepted()
        with engine.connect() as connection:
            stored = blocks.stored_logs(connection, policy.chain_id, *span)
        missing = [log for log in read.logs if stored.get((log.block_number, log.log_index)) != log]
        times = {header.number: header.timestamp for header in read.headers}
        logs = describe(policy, missing, times, snapshot, achievement)
        confirm(reader, read)
        before = time.perf_counter()
        written, added, dropped = repair(engine, policy, read, logs)
        tally.seconds_sql += time.perf_counter() - before
        tally.add(written, read, None, None)
        tally.added += added
        tally.dropped += dropped
        tally.undecoded += sum(log.event.problem is not None for log in logs)
        last = span[1]
    return tally.report(started.head, started)


def rebuild(engine: Engine, policy: IndexPolicy, projection: str) -> RebuildReport:
    """Recompute one of ``PROJECTIONS`` from the stored logs, all rows, without the chain.

    Raises ``PermanentError`` for a projection that does not exist.
    """
    if projection not in PROJECTIONS:
        raise PermanentError(
            f"there is no projection {projection!r}; there are {', '.join(PROJECTIONS)}"
        )
    before = time.perf_counter()
    with engine.begin() as connection:
        if checkpoints.read(connection, policy.chain_id) is None:
            return RebuildReport(projection, 0, 0.0)
        held = checkpoints.hold_beyond(connection, policy.chain_id, -1)
        projections.begin(connection)
        projections.touch_all(connection, policy.chain_id, projection)
        changed = projections.recompute(connection, policy.chain_id, held.first_block, [projection])
    return RebuildReport(projection, changed[projection], time.perf_counter() - before)


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


# ── Where we stand ──────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Started:
    checkpoint: Point
    first_block: int
    head: Block
    at_checkpoint: Block | None


def _standing(engine: Engine, policy: IndexPolicy) -> checkpoints.Standing | None:
    with engine.connect() as connection:
        return checkpoints.standing(connection, policy.chain_id)


def _require_chain(reader: ChainReader, policy: IndexPolicy) -> None:
    found = reader.chain_id()
    if found != policy.chain_id:
        raise PermanentError(
            f"the node is on chain {found}, LCAI_CHAIN_ID says {policy.chain_id}: nothing was read"
        )


def _start(engine: Engine, reader: ChainReader, policy: IndexPolicy) -> _Started | Block:
    """The checkpoint and the chain's view of it; the head alone while the chain is too short."""
    held = _standing(engine, policy)
    if held is None:
        _require_chain(reader, policy)
        head = reader.head()
        if head.number - policy.confirmations < policy.start_block:
            return head
        first = reader.block(policy.start_block)
        base = Point(policy.start_block - 1, first.parent_hash)
        header = reader.block(base.number) if base.number >= 0 else None
        if header is not None and header.hash != base.hash:
            raise ChainMoved(f"block {base.number} was replaced while it was read")
        begin_at(engine, policy, base, header)
        held = _standing(engine, policy)
        if held is None:
            raise CheckpointMoved(f"the checkpoint of chain {policy.chain_id} was taken away")
    known = [held.number] if held.number >= 0 else []
    head, found = reader.head_and(known)
    return _Started(held.point, held.first_block, head, found.get(held.number))


def _common(
    engine: Engine, reader: ChainReader, policy: IndexPolicy, started: _Started
) -> Point | None:
    """The newest block that the chain and we share; None when the node is merely behind us."""
    held, head = started.checkpoint, started.head
    if held.number < 0:
        return held
    if started.at_checkpoint is not None:
        if started.at_checkpoint.hash == held.hash:
            return held
    else:
        with engine.connect() as connection:
            ours = blocks.header_at(connection, policy.chain_id, head.number)
        if ours is None or ours.hash == head.hash:
            return None
    with engine.connect() as connection:
        stored = blocks.headers_down_from(
            connection, policy.chain_id, held.number - 1, held.number - policy.window
        )
    for probe in probes(stored):
        chain = reader.known_blocks(point.number for point in probe)
        common = shared(probe, {number: block.hash for number, block in chain.items()})
        if common is not None:
            return common
    raise ReorgTooDeep(
        f"chain {policy.chain_id} has no block of the last {policy.window} that we hold below"
        f" {held.number} ({held.hash}). Nothing was undone. If the node is on the right chain,"
        " set the checkpoint back behind the fork by hand"
    )


@dataclass(slots=True)
class _Tally:
    reader: ChainReader
    first: int | None = None
    last: int | None = None
    blocks: int = 0
    logs: int = 0
    undecoded: int = 0
    rows: dict[str, int] = field(default_factory=dict[str, int])
    depth: int = 0
    undone: int = 0
    splits: int = 0
    added: int = 0
    dropped: int = 0
    end: Block | None = None
    seconds_sql: float = 0.0
    partitions: set[str] = field(default_factory=set[str])
    calls_before: int = 0
    retries_before: int = 0
    seconds_before: float = 0.0

    def __post_init__(self) -> None:
        rpc = self.reader.rpc
        self.calls_before, self.retries_before = rpc.calls, rpc.retried
        self.seconds_before = rpc.seconds

    def add(
        self, written: Written, read: ReadRange | None, base: Point | None, held: Point | None
    ) -> None:
        if base is not None and held is not None and base != held:
            self.depth = max(self.depth, held.number - base.number)
            self.undone += written.undone_logs
            self.partitions.update(partitions_of(base.number + 1, held.number))
        if read is not None:
            self.first = read.first if self.first is None else min(self.first, read.first)
            self.last = read.last
            self.end = read.end
            self.blocks += read.last - read.first + 1
            self.logs += len(read.logs)
            self.partitions.update(partitions_of(read.first, read.last))
        for projection, changed in written.rows_changed.items():
            table = PROJECTIONS[projection]
            self.rows[table] = self.rows.get(table, 0) + changed

    def report(self, head: Block, started: _Started | None) -> IndexReport:
        rpc = self.reader.rpc
        at = started.checkpoint.number if started is not None else -1
        at_ts = head.timestamp
        if self.end is not None:
            at_ts = self.end.timestamp
        elif started is not None and started.at_checkpoint is not None:
            at_ts = started.at_checkpoint.timestamp
        return IndexReport(
            from_block=self.first if self.first is not None else at + 1,
            to_block=self.last if self.last is not None else at,
            blocks=self.blocks,
            logs=self.logs,
            undecoded=self.undecoded,
            rows_changed=self.rows,
            reorg_depth=self.depth,
            undone_logs=self.undone,
            head=head.number,
            head_ts=head.timestamp,
            lag_blocks=head.number - at,
            lag_seconds=head.timestamp - at_ts,
            rpc_calls=rpc.calls - self.calls_before,
            retries=rpc.retried - self.retries_before,
            splits=self.splits,
            seconds_rpc=rpc.seconds - self.seconds_before,
            seconds_sql=self.seconds_sql,
            partitions=sorted(self.partitions),
            added_logs=self.added,
            dropped_logs=self.dropped,
        )
