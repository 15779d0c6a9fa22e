"""Commit what was read: headers, logs, projections and checkpoint, all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine

from lightchallenge_dagster.rules.reorg import Block, Point, newly_final, require_not_final
from lightchallenge_dagster.steps.indexing.policy import IndexPolicy
from lightchallenge_dagster.steps.indexing.read import ReadRange
from lightchallenge_dagster.storage import blocks, checkpoints, projections, verified
from lightchallenge_dagster.storage.blocks import IndexedLog

_LAST_BLOCK = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Written:
    """Rows changed by projection, and the logs that were undone."""

    rows_changed: dict[str, int] = field(default_factory=dict[str, int])
    undone_logs: int = 0


def begin_at(engine: Engine, policy: IndexPolicy, base: Point, header: Block | None) -> None:
    """Set the first checkpoint, on ``base``, the block before the first one to index."""
    with engine.begin() as connection:
        if checkpoints.create(connection, policy.chain_id, base) and header is not None:
            blocks.add_headers(connection, policy.chain_id, [header], {})


def commit(
    engine: Engine,
    policy: IndexPolicy,
    expected: Point,
    base: Point,
    read: ReadRange | None,
    logs: list[IndexedLog],
    *,
    finalized: Point | None = None,
) -> Written:
    """Undo what hangs above ``base``, add what was read on top of it, move the checkpoint.

    One transaction. ``finalized`` is the chain's newest final block; the watermark follows it as
    far as blocks are indexed. Raises ``CheckpointMoved`` when the checkpoint is not ``expected``
    any more, ``ReorgPastFinality`` when ``base`` lies below the watermark, and changes nothing.
    """
    chain = policy.chain_id
    with engine.begin() as connection:
        held = checkpoints.hold(connection, chain, expected)
        first_block = held.first_block
        undone = 0
        reorg = base != expected
        if reorg:
            require_not_final(chain, held.finalized, base)
        if reorg or logs:
            projections.begin(connection)
        if reorg:
            projections.touch(connection, chain, base.number + 1, _LAST_BLOCK, orphaned=True)
            _, undone = blocks.undo_after(connection, chain, base.number)
            verified.undo_after(connection, chain, base)
        if read is not None:
            counts: dict[int, int] = {}
            for log in logs:
                counts[log.raw.block_number] = counts.get(log.raw.block_number, 0) + 1
            blocks.add_headers(connection, chain, read.headers, counts)
            blocks.add_logs(connection, chain, logs)
            if logs:
                projections.touch(connection, chain, read.first, read.last, orphaned=False)
            blocks.drop_empty_headers(
                connection,
                chain,
                above=base.number - policy.window - 1,
                below=read.last - policy.window,
                keep=first_block - 1,
            )
        rows: dict[str, int] = {}
        if reorg or logs:
            rows = projections.recompute(connection, chain, first_block)
        elif projections.jobs_behind(connection):
            rows = {"aivm_jobs": projections.sync_jobs(connection, chain)}
        end = base if read is None else Point(read.last, read.end.hash)
        checkpoints.move(
            connection,
            chain,
            end,
            mirror=policy.mirror,
            finalized=newly_final(finalized, end, first_block),
        )
    return Written(rows, undone)


def repair(
    engine: Engine,
    policy: IndexPolicy,
    read: ReadRange,
    logs: list[IndexedLog],
    *,
    addresses: Collection[str] | None = None,
    drop: Collection[tuple[int, int]] | None = None,
    also: Callable[[Connection], None] | None = None,
) -> tuple[Written, int, int]:
    """Make the stored logs of a range equal to ``logs``; what changed, logs added and dropped.

    ``logs`` holds those that differ or are missing only. Of the stored logs only those of
    ``addresses`` are compared, all of them by default: the ones that ``read`` was asked for.
    ``drop`` names the only logs (block, index) that may go, where the caller has proof for those.
    ``also`` runs in the same transaction, at its end, whether or not anything changed. The
    checkpoint stays where it is. Raises ``CheckpointMoved`` when the blocks are not indexed any
    more, or are others by now.
    """
    chain = policy.chain_id
    wanted = None if addresses is None else frozenset(addresses)
    with engine.begin() as connection:
        held = checkpoints.hold_beyond(connection, chain, read.last)
        kept = {
            header.number: header.hash
            for header in blocks.headers_down_from(connection, chain, read.last, read.first)
        }
        for header in read.headers:
            if kept.get(header.number, header.hash) != header.hash:
                raise checkpoints.CheckpointMoved(
                    f"block {header.number} was reorganised while it was read; heal it again later"
                )
        stored = {
            key: log
            for key, log in blocks.stored_logs(connection, chain, read.first, read.last).items()
            if wanted is None or log.address in wanted
        }
        on_chain = {(log.block_number, log.log_index): log for log in read.logs}
        wrong = [
            key
            for key, log in stored.items()
            if on_chain.get(key) != log and (drop is None or key in drop)
        ]
        kept = stored.keys() - set(wrong)
        added = [log for log in logs if (log.raw.block_number, log.raw.log_index) not in kept]
        rows: dict[str, int] = {}
        if wrong or added:
            projections.begin(connection)
            if wrong:
                projections.touch(connection, chain, read.first, read.last, orphaned=True)
                blocks.drop_logs(connection, chain, wrong)
            blocks.add_logs(connection, chain, added)
            projections.touch(connection, chain, read.first, read.last, orphaned=False)
            touched = {log.raw.block_number for log in added} | {number for number, _ in wrong}
            blocks.complete_headers(
                connection, chain, [header for header in read.headers if header.number in touched]
            )
            rows = projections.recompute(connection, chain, held.first_block)
        if also is not None:
            also(connection)
    return Written(rows), len(added), len(wrong)
