"""Verify: read again, range by range, and make the stored logs what the endpoints agree on."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from sqlalchemy import Connection, Engine

from lightchallenge_dagster.chain.reader import ChainReader, RangeRefused
from lightchallenge_dagster.rules.ranges import RangeSize
from lightchallenge_dagster.rules.reorg import Point
from lightchallenge_dagster.rules.witnesses import Logs
from lightchallenge_dagster.steps.indexing.endpoints import remembered
from lightchallenge_dagster.steps.indexing.policy import IndexPolicy
from lightchallenge_dagster.steps.indexing.read import (
    AchievementSnapshot,
    ChallengeSnapshot,
    ReadRange,
    describe,
)
from lightchallenge_dagster.steps.indexing.standing import require_chain
from lightchallenge_dagster.steps.indexing.write import repair
from lightchallenge_dagster.steps.verification.agree import Agreed, agree, as_agreed
from lightchallenge_dagster.steps.verification.compare import pass_equal
from lightchallenge_dagster.steps.verification.look import VERIFY_BEHIND_BLOCKS
from lightchallenge_dagster.steps.verification.report import Tally, VerifyReport
from lightchallenge_dagster.steps.verification.streams import Task, next_task
from lightchallenge_dagster.steps.verification.untold import ask_again
from lightchallenge_dagster.steps.verification.witnesses import (
    Contradiction,
    Dispute,
    Witnesses,
    label,
    require_same_chain,
)
from lightchallenge_dagster.storage import verified
from lightchallenge_dagster.storage.blocks import IndexedLog
from lightchallenge_dagster.storage.verified import Finding, StreamKey


def verify(
    engine: Engine,
    reader: ChainReader,
    policy: IndexPolicy,
    snapshot: ChallengeSnapshot,
    heartbeat: Callable[[], None] | None = None,
    *,
    achievement: AchievementSnapshot | None = None,
    behind: int = VERIFY_BEHIND_BLOCKS,
) -> VerifyReport:
    """Read again everything up to ``behind`` blocks below the checkpoint, and repair.

    Streams with one watermark are read together; one that is behind catches up by itself first.
    A repair, the projections that follow from it and the watermark are one transaction. Raises
    ``RpcUnavailable`` and ``RpcError`` when the chain cannot be read, ``CheckpointMoved`` and
    ``WatermarkMoved`` when it changed meanwhile; what had passed before stays.
    """
    run = _Run(engine, reader, policy, snapshot, achievement)
    with remembered(engine, policy, reader.rpc):
        require_chain(reader, policy)
        while True:
            if heartbeat is not None:
                heartbeat()
            task = next_task(engine, policy, behind, limits=run.limits)
            if isinstance(task, str):
                run.ask_again()
                return run.tally.report(engine, policy, behind)
            run.attempt(task)


class _Run:
    def __init__(
        self,
        engine: Engine,
        reader: ChainReader,
        policy: IndexPolicy,
        snapshot: ChallengeSnapshot,
        achievement: AchievementSnapshot | None,
    ) -> None:
        self.engine = engine
        self.reader = reader
        self.policy = policy
        self.snapshot = snapshot
        self.achievement = achievement
        self.tally = Tally(reader)
        self.size = RangeSize.start(policy.max_block_range)
        self.limits: dict[StreamKey, int] = {}

    def attempt(self, task: Task) -> None:
        """Read the next range of the task and settle it, or make ready for a smaller one."""
        witnesses = Witnesses.of(self.reader)
        blocks = min(self.size.blocks, witnesses.range_blocks)
        first, last = task.watermark + 1, min(task.target, task.watermark + blocks)
        try:
            read, source = witnesses.read_again(self.policy, task.addresses, first, last)
            require_same_chain(self.engine, self.policy, witnesses, source, read)
            self._compare(witnesses, source, task, read)
        except RangeRefused:
            if first == last:
                raise
            self.size = self.size.refused(asked=last - first + 1)
            self.tally.splits += 1
        except Contradiction as error:
            # Down to the block that it is about; what lies below it passes.
            if first == last:
                self._hold_back(task, first, f"block {first}: {error}")
            else:
                self.size = self.size.refused(asked=last - first + 1)
        except Dispute as dispute:
            self._hold_back(task, dispute.block, dispute.problem)
        else:
            self.size = self.size.accepted(last - first + 1)

    def ask_again(self) -> None:
        """Complete logs beside which a contract would not tell what their event does not carry."""
        told, rows = ask_again(self.engine, self.policy, self.snapshot, self.achievement)
        self.tally.told += told
        self.tally.changed(rows)

    def _hold_back(self, task: Task, block: int, problem: str) -> None:
        chain = self.policy.chain_id
        with self.engine.begin() as connection:
            verified.note_problem(connection, chain, task.streams, block, problem)
        # What lies below the block may pass; the block itself waits for the next run.
        self.limits.update({stream.key: block - 1 for stream in task.streams})
        self.tally.disputed.append(problem)

    def _compare(
        self, witnesses: Witnesses, source: ChainReader, task: Task, read: ReadRange
    ) -> None:
        """Pass the range if it is equal; else make the stored logs what the endpoints agree on."""
        self.tally.read(read, label(source))
        before = time.perf_counter()
        stored = pass_equal(self.engine, self.policy, task, read)
        self.tally.seconds_sql += time.perf_counter() - before
        if stored is not None:
            agreed = agree(
                self.engine, self.policy, witnesses, source, task.addresses, read, stored
            )
            self._repair(task, read, stored, agreed)

    def _repair(self, task: Task, read: ReadRange, stored: Logs, agreed: Agreed) -> None:
        chain = self.policy.chain_id
        missing, times = agreed.missing(stored), agreed.timestamps
        described = describe(self.policy, missing, times, self.snapshot, self.achievement)
        late, history = _sorted_out(task, described)
        findings = [Finding("late", log.raw, log.event.event) for log in late]
        findings += [Finding("wrong", stored[key], None) for key in agreed.dropped]

        def also(connection: Connection) -> None:
            counts = {
                "late": Counter(log.raw.address for log in late),
                "wrong": Counter(stored[key].address for key in agreed.dropped),
                "history": Counter(log.raw.address for log in history),
            }
            end = Point(read.last, read.end.hash)
            verified.advance(connection, chain, task.streams, end, **counts)
            verified.add_findings(connection, chain, findings)

        before = time.perf_counter()
        written, _, _ = repair(
            self.engine,
            self.policy,
            as_agreed(read, agreed),
            described,
            addresses=task.addresses,
            drop=agreed.dropped,
            also=also,
        )
        self.tally.seconds_sql += time.perf_counter() - before
        self.tally.changed(written.rows_changed)
        self.tally.findings += findings
        self.tally.history += len(history)


def _sorted_out(task: Task, logs: list[IndexedLog]) -> tuple[list[IndexedLog], list[IndexedLog]]:
    """The logs that the follower missed, and those of blocks that it never read for the stream."""
    followed = {stream.key.address: stream.followed_from for stream in task.streams}
    late = [log for log in logs if log.raw.block_number >= followed[log.raw.address]]
    history = [log for log in logs if log.raw.block_number < followed[log.raw.address]]
    return late, history
