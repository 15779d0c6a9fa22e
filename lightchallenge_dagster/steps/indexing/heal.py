"""Heal: read blocks again and make what is stored equal to the chain."""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy import Engine

from lightchallenge_dagster.chain.reader import ChainReader
from lightchallenge_dagster.steps.indexing.endpoints import remembered
from lightchallenge_dagster.steps.indexing.patience import DOUBTFUL, Patience
from lightchallenge_dagster.steps.indexing.policy import IndexPolicy, IndexReport
from lightchallenge_dagster.steps.indexing.read import (
    AchievementSnapshot,
    ChallengeSnapshot,
    confirm,
    describe,
    read_range,
)
from lightchallenge_dagster.steps.indexing.standing import View, require_chain, view
from lightchallenge_dagster.steps.indexing.tally import Tally
from lightchallenge_dagster.steps.indexing.write import repair
from lightchallenge_dagster.storage import blocks


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
    tally = Tally(reader)
    patience = Patience(reader.rpc)
    with remembered(engine, policy, reader.rpc):
        require_chain(reader, policy)
        seen = view(engine, reader, policy)
        if not isinstance(seen, View):
            return tally.report(seen, 0)
        end = min(to_block, seen.held.number)
        last = max(from_block, seen.held.first_block) - 1
        while (span := reader.rpc.range.following(last, end)) is not None:
            if heartbeat is not None:
                heartbeat()
            try:
                _heal(engine, reader, policy, snapshot, achievement, seen.head.number, span, tally)
            except DOUBTFUL as error:
                patience.lost(error)
                continue
            patience.kept()
            last = span[1]
    return tally.report(seen, patience.splits)


def _heal(
    engine: Engine,
    reader: ChainReader,
    policy: IndexPolicy,
    snapshot: ChallengeSnapshot,
    achievement: AchievementSnapshot | None,
    head: int,
    span: tuple[int, int],
    tally: Tally,
) -> None:
    first, last = span
    read = read_range(reader, policy, first, last, parent=None, dense_from=last + 1, head=head)
    rpc = reader.rpc
    rpc.range = rpc.range.accepted(last - first + 1 - read.by_hash)
    with engine.connect() as connection:
        stored = blocks.stored_logs(connection, policy.chain_id, first, last)
    missing = [log for log in read.logs if stored.get((log.block_number, log.log_index)) != log]
    times = {header.number: header.timestamp for header in read.headers}
    logs = describe(policy, missing, times, snapshot, achievement)
    confirm(reader, read)
    before = time.perf_counter()
    written, added, dropped = repair(engine, policy, read, logs)
    tally.seconds_sql += time.perf_counter() - before
    tally.repaired(written, added, dropped)
    tally.took(read, logs)
