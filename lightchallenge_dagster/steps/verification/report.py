"""What a verification read, repaired and cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Engine

from lightchallenge_dagster.chain.reader import ChainReader
from lightchallenge_dagster.steps.indexing.policy import IndexPolicy
from lightchallenge_dagster.steps.indexing.read import ReadRange
from lightchallenge_dagster.steps.verification.streams import lowest
from lightchallenge_dagster.storage import checkpoints
from lightchallenge_dagster.storage.projections import PROJECTIONS
from lightchallenge_dagster.storage.verified import Finding


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a verification read and repaired.

    ``blocks`` and ``logs`` were read again; ``late_logs`` had been missed and were added,
    ``wrong_logs`` were dropped, ``history_logs`` belong to a contract or an event that is new in
    the settings; of ``told_logs`` the contract now told what it had refused to. ``verified`` is
    the lowest watermark, ``remaining_blocks`` what still lies between it and its goal. ``disputed``
    says of each block that held a watermark back why. ``read_from`` are the endpoints of the second
    reading.
    """

    from_block: int
    to_block: int
    blocks: int
    logs: int
    late_logs: int
    wrong_logs: int
    history_logs: int
    told_logs: int
    verified: int | None
    remaining_blocks: int
    disputed: list[str]
    read_from: list[str]
    rows_changed: dict[str, int]
    rpc_calls: int
    retries: int
    splits: int
    seconds_rpc: float
    seconds_sql: float
    findings: list[Finding]


@dataclass(slots=True)
class Tally:
    """Counts from its making on; ``report`` may be asked for once, at the end."""

    reader: ChainReader
    first: int | None = None
    last: int = -1
    blocks: int = 0
    logs: int = 0
    history: int = 0
    told: int = 0
    splits: int = 0
    seconds_sql: float = 0.0
    rows: dict[str, int] = field(default_factory=dict[str, int])
    findings: list[Finding] = field(default_factory=list[Finding])
    disputed: list[str] = field(default_factory=list[str])
    endpoints: set[str] = field(default_factory=set[str])
    calls_before: int = 0
    retries_before: int = 0
    seconds_before: float = 0.0

    def __post_init__(self) -> None:
        rpc = self.reader.rpc
        self.calls_before, self.retries_before = rpc.calls, rpc.retried
        self.seconds_before = rpc.seconds

    def read(self, read: ReadRange, endpoint: str) -> None:
        """A range was read again from ``endpoint``."""
        self.first = read.first if self.first is None else min(self.first, read.first)
        self.last = max(self.last, read.last)
        self.blocks += read.last - read.first + 1
        self.logs += len(read.logs)
        self.endpoints.add(endpoint)

    def changed(self, rows: Mapping[str, int]) -> None:
        """Rows of projections followed from a repair."""
        for projection, changed in rows.items():
            table = PROJECTIONS[projection]
            self.rows[table] = self.rows.get(table, 0) + changed

    def report(self, engine: Engine, policy: IndexPolicy, behind: int) -> VerifyReport:
        """What happened, as of now."""
        rpc = self.reader.rpc
        at = lowest(engine, policy)
        with engine.connect() as connection:
            held = checkpoints.read(connection, policy.chain_id)
        goal = held.number - behind if held is not None else -1
        kinds = Counter(finding.finding for finding in self.findings)
        return VerifyReport(
            from_block=self.first if self.first is not None else (at or 0) + 1,
            to_block=self.last if self.first is not None else (at or 0),
            blocks=self.blocks,
            logs=self.logs,
            late_logs=kinds["late"],
            wrong_logs=kinds["wrong"],
            history_logs=self.history,
            told_logs=self.told,
            verified=at,
            remaining_blocks=max(0, goal - at) if at is not None else 0,
            disputed=self.disputed,
            read_from=sorted(self.endpoints),
            rows_changed=self.rows,
            rpc_calls=rpc.calls - self.calls_before,
            retries=rpc.retried - self.retries_before,
            splits=self.splits,
            seconds_rpc=rpc.seconds - self.seconds_before,
            seconds_sql=self.seconds_sql,
            findings=self.findings,
        )
