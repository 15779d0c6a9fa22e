"""What a run read, wrote and cost, counted while it goes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from lightchallenge_dagster.chain.failures import CALLS
from lightchallenge_dagster.chain.reader import ChainReader
from lightchallenge_dagster.rules.ranges import partitions_of
from lightchallenge_dagster.rules.reorg import Block, Point
from lightchallenge_dagster.steps.indexing.policy import IndexReport
from lightchallenge_dagster.steps.indexing.read import ReadRange
from lightchallenge_dagster.steps.indexing.standing import View
from lightchallenge_dagster.steps.indexing.write import Written
from lightchallenge_dagster.storage.blocks import IndexedLog
from lightchallenge_dagster.storage.projections import PROJECTIONS


@dataclass(slots=True)
class Tally:
    """Counts from its making on; ``report`` may be asked for once, at the end."""

    reader: ChainReader
    first: int | None = None
    last: int | None = None
    blocks: int = 0
    by_hash: int = 0
    compared: int = 0
    logs: int = 0
    undecoded: int = 0
    rows: dict[str, int] = field(default_factory=dict[str, int])
    depth: int = 0
    undone: int = 0
    added: int = 0
    dropped: int = 0
    disputed: list[str] = field(default_factory=list[str])
    end: Block | None = None
    seconds_sql: float = 0.0
    partitions: set[str] = field(default_factory=set[str])
    calls_before: int = 0
    retries_before: int = 0
    seconds_before: float = 0.0
    errors_before: dict[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])

    def __post_init__(self) -> None:
        rpc = self.reader.rpc
        self.calls_before, self.retries_before = rpc.calls, rpc.retried
        self.seconds_before = rpc.seconds
        self.errors_before = {one.label: Counter(one.counts) for one in rpc.endpoints}

    def undid(self, held: Point, base: Point, written: Written) -> None:
        """The blocks above ``base`` were taken back."""
        if base != held:
            self.depth = max(self.depth, held.number - base.number)
            self.undone += written.undone_logs
            self.partitions.update(partitions_of(base.number + 1, held.number))
        self._changed(written)

    def took(self, read: ReadRange, logs: list[IndexedLog]) -> None:
        """A range was read and written; ``logs`` are those that were new."""
        self.first = read.first if self.first is None else min(self.first, read.first)
        self.last = read.last
        self.end = read.end
        self.blocks += read.last - read.first + 1
        self.by_hash += read.by_hash
        self.compared += read.compared
        self.logs += len(read.logs)
        self.undecoded += sum(log.event.problem is not None for log in logs)
        self.partitions.update(partitions_of(read.first, read.last))

    def repaired(self, written: Written, added: int, dropped: int) -> None:
        """Stored logs were completed or corrected."""
        self.added += added
        self.dropped += dropped
        self._changed(written)

    def _changed(self, written: Written) -> None:
        for projection, changed in written.rows_changed.items():
            table = PROJECTIONS[projection]
            self.rows[table] = self.rows.get(table, 0) + changed

    def report(self, seen: View | Block, splits: int) -> IndexReport:
        """What happened, as of the last look at the chain."""
        rpc = self.reader.rpc
        head = seen.head if isinstance(seen, View) else seen
        at = seen.held.number if isinstance(seen, View) else -1
        at_ts = head.timestamp
        if self.end is not None:
            at_ts = self.end.timestamp
        elif isinstance(seen, View) and seen.at_checkpoint is not None:
            at_ts = seen.at_checkpoint.timestamp
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
            splits=splits,
            seconds_rpc=rpc.seconds - self.seconds_before,
            seconds_sql=self.seconds_sql,
            partitions=sorted(self.partitions),
            added_logs=self.added,
            dropped_logs=self.dropped,
            disputed=self.disputed,
            by_hash_blocks=self.by_hash,
            compared_answers=self.compared,
            endpoint_errors=self._errors(),
        )

    def _errors(self) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for one in self.reader.rpc.endpoints:
            new = Counter(one.counts)
            new.subtract(self.errors_before.get(one.label, Counter()))
            errors = {kind: count for kind, count in new.items() if count > 0 and kind != CALLS}
            if errors:
                found[one.label] = errors
        return found
