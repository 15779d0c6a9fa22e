"""What was read again, held against what is stored."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Engine

from lightchallenge_dagster.rules.events import is_registered
from lightchallenge_dagster.rules.reorg import Point
from lightchallenge_dagster.rules.witnesses import Logs
from lightchallenge_dagster.steps.indexing.policy import IndexPolicy
from lightchallenge_dagster.steps.indexing.read import ReadRange
from lightchallenge_dagster.steps.verification.streams import Task
from lightchallenge_dagster.storage import blocks, checkpoints, verified


def pass_equal(engine: Engine, policy: IndexPolicy, task: Task, read: ReadRange) -> Logs | None:
    """Move the watermarks over the range if it equals what is stored; otherwise what is stored."""
    with engine.begin() as connection:
        checkpoints.hold_beyond(connection, policy.chain_id, read.last)
        ours = blocks.header_at(connection, policy.chain_id, read.last)
        if ours is not None and ours.hash != read.end.hash:
            raise checkpoints.CheckpointMoved(
                f"block {read.last} was reorganised while it was read again"
            )
        stored = stored_logs(connection, policy, task.addresses, read)
        if stored != by_key(read):
            return stored
        end = Point(read.last, read.end.hash)
        verified.advance(connection, policy.chain_id, task.streams, end)
    return None


def by_key(read: ReadRange) -> Logs:
    """The logs of a range by block and log index."""
    return {(log.block_number, log.log_index): log for log in read.logs}


def stored_logs(
    connection: Connection, policy: IndexPolicy, addresses: Sequence[str], read: ReadRange
) -> Logs:
    """The stored logs of the range that a reading of these contracts speaks of."""
    wanted = set(addresses)
    found = blocks.stored_logs(connection, policy.chain_id, read.first, read.last)
    return {
        key: log
        for key, log in found.items()
        if log.address in wanted and is_registered(policy.roles[log.address], log.topics[0])
    }
