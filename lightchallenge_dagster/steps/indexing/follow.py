"""Follow the chain: from the checkpoint to the newest confirmed block."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from sqlalchemy import Engine

from lightchallenge_dagster.chain.reader import ChainReader
from lightchallenge_dagster.rules.reorg import Block, Point
from lightchallenge_dagster.steps.indexing.endpoints import remembered
from lightchallenge_dagster.steps.indexing.patience import DOUBTFUL, Patience
from lightchallenge_dagster.steps.indexing.policy import IndexPolicy, IndexReport
from lightchallenge_dagster.steps.indexing.read import (
    AchievementSnapshot,
    ChallengeSnapshot,
    ReadRange,
    confirm,
    describe,
    read_range,
)
from lightchallenge_dagster.steps.indexing.standing import (
    View,
    common,
    require_chain,
    require_newest,
    resume,
    stops_noted,
    view,
)
from lightchallenge_dagster.steps.indexing.tally import Tally
from lightchallenge_dagster.steps.indexing.write import commit
from lightchallenge_dagster.storage.blocks import IndexedLog


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
    ends the run by raising. While a range is written the next one is read, by one thread; it
    counts only on top of what was written. An answer that cannot be true is asked for again, of
    the next endpoint, a bounded number of times. What was committed before an error stays; the
    rest is read again by the next run. Raises ``RpcUnavailable``, ``RpcError``, ``ReorgTooDeep``,
    ``CheckpointMoved``.
    """
    run = _Run(engine, reader, policy, snapshot, achievement, heartbeat or _no_heart)
    with (
        remembered(engine, policy, reader.rpc),
        stops_noted(engine, policy),
        ThreadPoolExecutor(1, "read-ahead") as aside,
    ):
        require_chain(reader, policy)
        while True:
            try:
                seen = run.stretch(aside)
            except DOUBTFUL as error:
                run.patience.lost(error)
                continue
            if seen is not None:
                return run.tally.report(seen, run.patience.splits)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A range that was read from ``endpoint``, with what its logs say."""

    read: ReadRange
    logs: list[IndexedLog]
    endpoint: str


class _Run:
    def __init__(
        self,
        engine: Engine,
        reader: ChainReader,
        policy: IndexPolicy,
        snapshot: ChallengeSnapshot,
        achievement: AchievementSnapshot | None,
        heartbeat: Callable[[], None],
    ) -> None:
        self.engine = engine
        self.reader = reader
        self.policy = policy
        self.snapshot = snapshot
        self.achievement = achievement
        self.heartbeat = heartbeat
        self.tally = Tally(reader)
        self.patience = Patience(reader.rpc)

    def stretch(self, aside: ThreadPoolExecutor) -> View | Block | None:
        """Index up to the confirmed head as it is now; that head when there was nothing to do."""
        self.heartbeat()
        seen = view(self.engine, self.reader, self.policy)
        if not isinstance(seen, View):
            return seen
        base = common(self.engine, self.reader, self.policy, seen)
        if base is None:
            require_newest(self.reader, seen)
            return seen
        held = seen.held.point
        target = seen.head.number - self.policy.confirmations
        if base == held:
            resume(self.engine, self.policy, seen.held)
            if target <= held.number:
                require_newest(self.reader, seen)
                return seen
        self._climb(aside, seen, held, base, target)
        return None

    def _climb(
        self, aside: ThreadPoolExecutor, seen: View, held: Point, base: Point, target: int
    ) -> None:
        span = self._next(base, target)
        if span is None:
            self._write(seen, held, base, None)
            return
        piece = self._read(seen, base, span, target)
        while True:
            end = Point(piece.read.last, piece.read.end.hash)
            span = self._next(end, target)
            ahead: Future[_Piece] | None = None
            if span is not None:
                ahead = aside.submit(self._read, seen, end, span, target)
            try:
                self._write(seen, held, base, piece)
            finally:
                # Whatever comes next, one thread at a time speaks with the node.
                if ahead is not None:
                    wait([ahead])
            if ahead is None:
                return
            held = base = end
            self.heartbeat()
            piece = ahead.result()

    def _next(self, base: Point, target: int) -> tuple[int, int] | None:
        return self.reader.rpc.range.following(base.number, target)

    def _read(self, seen: View, parent: Point, span: tuple[int, int], target: int) -> _Piece:
        first, last = span
        read = read_range(
            self.reader,
            self.policy,
            first,
            last,
            parent=parent,
            dense_from=target - self.policy.window,
            head=seen.head.number,
        )
        rpc = self.reader.rpc
        rpc.range = rpc.range.accepted(last - first + 1 - read.by_hash)
        if not read.logs:
            return _Piece(read, [], rpc.endpoint.label)
        times = {header.number: header.timestamp for header in read.headers}
        logs = describe(self.policy, read.logs, times, self.snapshot, self.achievement)
        confirm(self.reader, read)
        return _Piece(read, logs, rpc.endpoint.label)

    def _write(self, seen: View, held: Point, base: Point, piece: _Piece | None) -> None:
        before = time.perf_counter()
        written = commit(
            self.engine,
            self.policy,
            held,
            base,
            None if piece is None else piece.read,
            [] if piece is None else piece.logs,
            finalized=None if piece is None else seen.finalized_for(piece.endpoint),
        )
        self.tally.seconds_sql += time.perf_counter() - before
        self.tally.undid(held, base, written)
        if piece is not None:
            self.tally.took(piece.read, piece.logs)
        self.patience.kept()


def _no_heart() -> None:
    return
