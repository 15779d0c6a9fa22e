"""Heal: read blocks again and make what is stored equal to the chain.

It follows verification's rule: what is missing is added when every endpoint that is asked shows
it, and a stored log goes only when the whole block, read by its hash, proves that it was never
there. What cannot be settled so stays as it is and is reported.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy import Engine

from lightchallenge_dagster.chain.reader import ChainMoved, ChainReader
from lightchallenge_dagster.rules.ranges import RangeSize
from lightchallenge_dagster.steps.indexing.endpoints import remembered
from lightchallenge_dagster.steps.indexing.patience import DOUBTFUL, Patience
from lightchallenge_dagster.steps.indexing.policy import IndexPolicy, IndexReport
from lightchallenge_dagster.steps.indexing.read import (
    AchievementSnapshot,
    ChallengeSnapshot,
    ReadRange,
    describe,
)
from lightchallenge_dagster.steps.indexing.standing import View, require_chain, view
from lightchallenge_dagster.steps.indexing.tally import Tally
from lightchallenge_dagster.steps.indexing.write import repair
from lightchallenge_dagster.steps.verification.agree import Agreed, agree, as_agreed
from lightchallenge_dagster.steps.verification.compare import by_key, stored_logs
from lightchallenge_dagster.steps.verification.witnesses import (
    Contradiction,
    Dispute,
    Witnesses,
    require_same_chain,
)
from lightchallenge_dagster.storage.blocks import IndexedLog


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

    Logs of the policy's contracts that were missed are added, those proved wrong dropped, and the
    projections of their keys recomputed; the report counts both, and says of each block that the
    endpoints dispute why. Bounds are cut to what is indexed. Raises as ``follow``.
    """
    run = _Run(engine, reader, policy, snapshot, achievement)
    with remembered(engine, policy, reader.rpc):
        require_chain(reader, policy)
        seen = view(engine, reader, policy)
        if isinstance(seen, View):
            end = min(to_block, seen.held.number)
            last = max(from_block, seen.held.first_block) - 1
            while last < end:
                if heartbeat is not None:
                    heartbeat()
                last = run.onward(last, end, seen.head.number)
    return run.tally.report(seen, run.patience.splits)


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
        self.addresses = list(policy.roles)
        self.tally = Tally(reader)
        self.patience = Patience(reader.rpc)
        self.size = RangeSize.start(policy.max_block_range)
        self.disputed: int | None = None

    def onward(self, last: int, end: int, head: int) -> int:
        """Heal the range after ``last``, or make ready to try again; the last block dealt with."""
        first = last + 1
        if first == self.disputed:
            return first
        witnesses = Witnesses.of(self.reader)
        to = min(end, last + min(self.size.blocks, witnesses.range_blocks))
        if self.disputed is not None and first < self.disputed <= to:
            to = self.disputed - 1
        try:
            self._heal(witnesses, first, to, head)
        except Contradiction as error:
            # Down to the block that it is about.
            if first == to:
                self._leave(first, f"block {first}: {error}")
            self.size = self.size.refused(asked=to - first + 1)
            return last
        except Dispute as dispute:
            self._leave(dispute.block, dispute.problem)
            return last
        except DOUBTFUL as error:
            self.patience.lost(error)
            return last
        self.patience.kept()
        self.size = self.size.accepted(to - first + 1)
        return to

    def _leave(self, block: int, problem: str) -> None:
        self.disputed = block
        self.tally.disputed.append(problem)

    def _heal(self, witnesses: Witnesses, first: int, last: int, head: int) -> None:
        engine, policy, addresses = self.engine, self.policy, self.addresses
        read, source = witnesses.read_again(policy, addresses, first, last, head=head)
        try:
            require_same_chain(engine, policy, witnesses, source, read)
        except Dispute as dispute:
            # Of one fork or the other, block for block the answer would be the same.
            raise ChainMoved(dispute.problem) from dispute
        with engine.connect() as connection:
            stored = stored_logs(connection, policy, addresses, read)
        if stored != by_key(read):
            agreed = agree(engine, policy, witnesses, source, addresses, read, stored)
            missing, times = agreed.missing(stored), agreed.timestamps
            logs = describe(policy, missing, times, self.snapshot, self.achievement)
            self._repair(read, agreed, logs)
            self.tally.took(read, logs)
        else:
            self.tally.took(read, [])

    def _repair(self, read: ReadRange, agreed: Agreed, logs: list[IndexedLog]) -> None:
        before = time.perf_counter()
        written, added, dropped = repair(
            self.engine,
            self.policy,
            as_agreed(read, agreed),
            logs,
            addresses=self.addresses,
            drop=agreed.dropped,
        )
        self.tally.seconds_sql += time.perf_counter() - before
        self.tally.repaired(written, added, dropped)
