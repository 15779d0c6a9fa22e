"""Verify: read what is stored a second time, from another endpoint when there is one.

A node can leave out a log and look honest. So ranges some blocks behind the checkpoint are read
again and compared with the stored logs, contract by contract; the *verified* watermark of a
contract's stream says how far both readings agree.

What may change the stored logs is decided so that no single node can: with two endpoints a log is
added when both return it, and dropped when both, asked for the whole block by its hash, return
logs that make the header's bloom and leave it out. Where they differ nothing changes, the
watermark stays below the block, and a check names it.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection, Engine

from lightchallenge_dagster.chain.reader import BadAnswer, Block, ChainReader, RangeRefused, RawLog
from lightchallenge_dagster.chain.rpc import RpcError, RpcUnavailable
from lightchallenge_dagster.errors import PermanentError
from lightchallenge_dagster.rules.events import bloom_of, is_registered, may_contain, topics_for
from lightchallenge_dagster.rules.ranges import RangeSize
from lightchallenge_dagster.rules.reorg import Point
from lightchallenge_dagster.steps.indexing.policy import IndexPolicy
from lightchallenge_dagster.steps.indexing.read import (
    AchievementSnapshot,
    ChainMoved,
    ChallengeSnapshot,
    ReadRange,
    describe,
    read_range,
)
from lightchallenge_dagster.steps.indexing.write import repair
from lightchallenge_dagster.storage import blocks, checkpoints, verified
from lightchallenge_dagster.storage.projections import PROJECTIONS
from lightchallenge_dagster.storage.verified import Finding, Stream, StreamKey

VERIFY_BEHIND_BLOCKS = 64
"""Blocks below the checkpoint that are left to settle before they are read again."""

LOOK_BLOCKS = 500
"""A look reads no more blocks than this: a longer backlog is a run's work."""

PAUSE_S = 60.0
"""A look leaves a disputed block alone for this long: two nodes do not agree faster if asked."""

_Key = tuple[int, int]
_Logs = dict[_Key, RawLog]


@dataclass(frozen=True, slots=True)
class VerifyOutlook:
    """What a look found. Blocks are inclusive.

    ``waiting``: a run has to read ``from_block`` to ``to_block`` again. Otherwise ``blocks`` were
    read again just now and found equal. ``verified`` is the lowest watermark, None before there
    is a checkpoint.
    """

    waiting: bool
    reason: str
    verified: int | None
    from_block: int = 0
    to_block: int = -1
    blocks: int = 0


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a verification read and repaired.

    ``blocks`` and ``logs`` were read again; ``late_logs`` had been missed and were added,
    ``wrong_logs`` were dropped, ``history_logs`` belong to a contract or an event that is new in
    the settings. ``verified`` is the lowest watermark, ``remaining_blocks`` what still lies
    between it and its goal. ``disputed`` says of each block that held a watermark back why.
    ``read_from`` are the endpoints of the second reading.
    """

    from_block: int
    to_block: int
    blocks: int
    logs: int
    late_logs: int
    wrong_logs: int
    history_logs: int
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


def stream_keys(policy: IndexPolicy) -> list[StreamKey]:
    """A stream for each contract of the policy."""
    return [StreamKey(role, address, _fingerprint(role)) for address, role in policy.roles.items()]


def watermarks(engine: Engine, policy: IndexPolicy) -> list[Stream]:
    """The streams of the policy's contracts, the furthest behind first."""
    with engine.connect() as connection:
        return verified.streams(connection, policy.chain_id, stream_keys(policy))


def look(
    engine: Engine,
    reader: ChainReader,
    policy: IndexPolicy,
    *,
    behind: int = VERIFY_BEHIND_BLOCKS,
    pause_s: float = PAUSE_S,
) -> VerifyOutlook:
    """Whether a run is needed. A short range that is equal is passed here and now.

    Raises ``RpcUnavailable`` when no endpoint can be read, and ``PermanentError`` for a node of
    another chain.
    """
    task = _next(engine, policy, behind, pause_s=pause_s)
    if isinstance(task, str):
        return VerifyOutlook(False, task, _lowest(engine, policy))
    lowest = task.watermark
    first, last = task.watermark + 1, task.target
    waiting = VerifyOutlook(True, f"blocks {first} to {last} wait", lowest, first, last)
    witnesses = _Witnesses.of(reader)
    if last - first + 1 > min(LOOK_BLOCKS, policy.max_block_range, witnesses.range_blocks):
        return waiting
    try:
        read, _ = witnesses.read_again(policy, task, first, last)
        _same_chain(engine, policy, witnesses, read)
    except (RangeRefused, _Dispute):
        return waiting
    if _pass(engine, policy, task, read) is not None:
        return replace(waiting, reason=f"blocks {first} to {last} differ from what is stored")
    blocks_read = last - first + 1
    return VerifyOutlook(
        False, f"{blocks_read} blocks read again are equal", last, first, last, blocks_read
    )


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
    found = reader.chain_id()
    if found != policy.chain_id:
        raise PermanentError(
            f"the node is on chain {found}, LCAI_CHAIN_ID says {policy.chain_id}: nothing was read"
        )
    tally = _Tally(reader)
    size = RangeSize.start(policy.max_block_range)
    limits: dict[StreamKey, int] = {}
    while True:
        if heartbeat is not None:
            heartbeat()
        task = _next(engine, policy, behind, limits=limits)
        if isinstance(task, str):
            return tally.report(engine, policy, behind)
        witnesses = _Witnesses.of(reader)
        some = min(size.blocks, witnesses.range_blocks)
        span = task.watermark + 1, min(task.target, task.watermark + some)
        try:
            _step(engine, witnesses, policy, task, span, snapshot, achievement, tally)
        except RangeRefused:
            if not size.can_halve:
                raise
            size = size.refused()
            tally.splits += 1
        except _Dispute as dispute:
            with engine.begin() as connection:
                verified.note_problem(
                    connection, policy.chain_id, task.streams, dispute.block, dispute.problem
                )
            # What lies below the block may pass; the block itself waits for the next run.
            limits.update({stream.key: dispute.block - 1 for stream in task.streams})
            tally.disputed.append(dispute.problem)
        else:
            size = size.accepted()


# ── What to read next ───────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Task:
    """Streams with one watermark, and the block up to which they may be read together."""

    streams: list[Stream]
    watermark: int
    target: int

    @property
    def addresses(self) -> list[str]:
        return [stream.key.address for stream in self.streams]


def _fingerprint(role: str) -> str:
    return hashlib.sha256("\n".join(topics_for([role])).encode()).hexdigest()[:16]


def _lowest(engine: Engine, policy: IndexPolicy) -> int | None:
    found = watermarks(engine, policy)
    return found[0].block_number if found else None


def _next(
    engine: Engine,
    policy: IndexPolicy,
    behind: int,
    *,
    limits: Mapping[StreamKey, int] | None = None,
    pause_s: float = 0.0,
) -> _Task | str:
    """The streams that are furthest behind; why there is nothing to read, when there is not."""
    keys = stream_keys(policy)
    with engine.begin() as connection:
        held = checkpoints.standing(connection, policy.chain_id)
        if held is None:
            return "nothing is indexed yet"
        found = verified.streams(connection, policy.chain_id, keys, pause_s=pause_s)
        if len(found) < len(keys):
            verified.begin(
                connection,
                policy.chain_id,
                keys,
                first_block=held.first_block,
                checkpoint=held.number,
            )
            found = verified.streams(connection, policy.chain_id, keys, pause_s=pause_s)
    target = held.number - behind
    open_to: dict[StreamKey, int] = {}
    for stream in found:
        limit = (limits or {}).get(stream.key, target)
        if stream.paused and stream.problem_block is not None:
            limit = min(limit, stream.problem_block - 1)
        open_to[stream.key] = min(target, limit)
    behind_target = [one for one in found if one.block_number < open_to[one.key]]
    if not behind_target:
        disputed = next((one.problem for one in found if one.problem), None)
        return disputed or f"verified up to block {found[0].block_number}"
    # By hash too: a watermark that a reorg took back is not the one that was never there.
    lowest = behind_target[0].block_number
    group = [one for one in behind_target if one.block_number == lowest]
    others = [one.block_number for one in behind_target if one.block_number > lowest]
    return _Task(group, lowest, min([open_to[one.key] for one in group] + others))


# ── Reading again ───────────────────────────────────────────────────────────────────────────


class _Dispute(Exception):
    """The endpoints differ over ``block`` and nothing shows which is right."""

    def __init__(self, block: int, problem: str) -> None:
        super().__init__(problem)
        self.block = block
        self.problem = problem


@dataclass(frozen=True, slots=True)
class _Witnesses:
    """The endpoint in use, and another one when there is one."""

    first: ChainReader
    second: ChainReader | None

    @staticmethod
    def of(reader: ChainReader) -> _Witnesses:
        others, current = reader.rpc.others(), reader.rpc.endpoint
        if others is None or all(
            one.fingerprint == current.fingerprint for one in others.endpoints
        ):
            return _Witnesses(reader, None)
        return _Witnesses(reader, ChainReader(others))

    @property
    def range_blocks(self) -> int:
        """Blocks that both are known to serve at a time."""
        both = [self.first] if self.second is None else [self.first, self.second]
        return min(one.rpc.range.blocks for one in both)

    def read_again(
        self, policy: IndexPolicy, task: _Task, first: int, last: int
    ) -> tuple[ReadRange, ChainReader]:
        """The range, and who it is from: the other endpoint unless it cannot be read now."""
        if self.second is not None:
            try:
                return _read(self.second, policy, task, first, last), self.second
            except RangeRefused:
                raise
            except (RpcUnavailable, RpcError):
                # Seen in the endpoint's counts. A second reading by the same node is worth less,
                # but it is worth more than none while the other one is away.
                pass
        return _read(self.first, policy, task, first, last), self.first


def _read(
    reader: ChainReader, policy: IndexPolicy, task: _Task, first: int, last: int
) -> ReadRange:
    return read_range(
        reader, policy, first, last, parent=None, dense_from=last + 1, addresses=task.addresses
    )


def _label(reader: ChainReader) -> str:
    return reader.rpc.endpoint.label


def _same_chain(
    engine: Engine, policy: IndexPolicy, witnesses: _Witnesses, read: ReadRange
) -> None:
    """Raise unless the range that was read again ends on the block that we stored."""
    with engine.connect() as connection:
        ours = blocks.header_at(connection, policy.chain_id, read.last)
    if ours is not None and ours.hash == read.end.hash:
        return
    theirs = witnesses.first.block(read.last).hash
    if ours is not None and theirs != ours.hash:
        raise ChainMoved(f"block {read.last} is another one by now; the follower undoes it first")
    if theirs != read.end.hash:
        raise _Dispute(
            read.first,
            f"block {read.last} is {theirs} for endpoint {_label(witnesses.first)} and"
            f" {read.end.hash} for another one: they follow different chains",
        )


def _stored(connection: Connection, policy: IndexPolicy, task: _Task, read: ReadRange) -> _Logs:
    """The stored logs that the streams of ``task`` speak of."""
    wanted = set(task.addresses)
    found = blocks.stored_logs(connection, policy.chain_id, read.first, read.last)
    return {
        key: log
        for key, log in found.items()
        if log.address in wanted and is_registered(policy.roles[log.address], log.topics[0])
    }


def _by_key(logs: list[RawLog]) -> _Logs:
    return {(log.block_number, log.log_index): log for log in logs}


def _pass(engine: Engine, policy: IndexPolicy, task: _Task, read: ReadRange) -> _Logs | None:
    """Move the watermarks over the range if it equals what is stored; otherwise what is stored."""
    with engine.begin() as connection:
        checkpoints.hold_beyond(connection, policy.chain_id, read.last)
        ours = blocks.header_at(connection, policy.chain_id, read.last)
        if ours is not None and ours.hash != read.end.hash:
            raise checkpoints.CheckpointMoved(
                f"block {read.last} was reorganised while it was read again"
            )
        stored = _stored(connection, policy, task, read)
        if stored != _by_key(read.logs):
            return stored
        end = Point(read.last, read.end.hash)
        verified.advance(connection, policy.chain_id, task.streams, end)
    return None


def _step(
    engine: Engine,
    witnesses: _Witnesses,
    policy: IndexPolicy,
    task: _Task,
    span: tuple[int, int],
    snapshot: ChallengeSnapshot,
    achievement: AchievementSnapshot | None,
    tally: _Tally,
) -> None:
    """Read one range again and make the stored logs what the endpoints agree on."""
    read, source = witnesses.read_again(policy, task, *span)
    _same_chain(engine, policy, witnesses, read)
    tally.endpoints.add(_label(source))
    before = time.perf_counter()
    stored = _pass(engine, policy, task, read)
    tally.seconds_sql += time.perf_counter() - before
    tally.read(read)
    if stored is None:
        return
    agreed = _settle(engine, policy, witnesses, source, task, read, stored)
    missing = [log for key, log in agreed.logs.items() if stored.get(key) != log]
    gone = [stored[key] for key in agreed.dropped]
    times = {header.number: header.timestamp for header in agreed.headers.values()}
    described = describe(policy, missing, times, snapshot, achievement)
    from_block = {stream.key.address: stream.followed_from for stream in task.streams}
    late = [log for log in described if log.raw.block_number >= from_block[log.raw.address]]
    findings = [Finding("late", log.raw, log.event.event) for log in late]
    findings += [Finding("wrong", log, None) for log in gone]
    counts = {
        "late": Counter(log.raw.address for log in late),
        "wrong": Counter(log.address for log in gone),
        "history": Counter(log.address for log in missing)
        - Counter(log.raw.address for log in late),
    }

    def also(connection: Connection) -> None:
        end = Point(read.last, read.end.hash)
        verified.advance(connection, policy.chain_id, task.streams, end, **counts)
        verified.add_findings(connection, policy.chain_id, findings)

    whole = replace(
        read,
        headers=[agreed.headers[number] for number in sorted(agreed.headers)],
        logs=[agreed.logs[key] for key in sorted(agreed.logs)],
    )
    before = time.perf_counter()
    written, _, _ = repair(
        engine,
        policy,
        whole,
        described,
        addresses=task.addresses,
        drop=agreed.dropped,
        also=also,
    )
    tally.seconds_sql += time.perf_counter() - before
    tally.repaired(written.rows_changed, findings, len(missing) - len(late))


# ── Who is right ────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Agreed:
    """The logs of a range as the endpoints agree on them, and the stored ones that must go."""

    logs: _Logs
    dropped: set[_Key]
    headers: dict[int, Block]


def _settle(
    engine: Engine,
    policy: IndexPolicy,
    witnesses: _Witnesses,
    source: ChainReader,
    task: _Task,
    read: ReadRange,
    stored: _Logs,
) -> _Agreed:
    """What the range holds, where the second reading and the stored logs differ.

    Blocks that only lack logs are completed when the other endpoint's range shows the same and
    the header's bloom allows it. Every other block is settled by its hash. Raises ``_Dispute``
    for the first block that cannot be.
    """
    theirs = _by_key(read.logs)
    headers = {header.number: header for header in read.headers}
    differing = sorted(
        {key[0] for key in stored.keys() | theirs.keys() if stored.get(key) != theirs.get(key)}
    )
    alone = source is witnesses.first
    if alone:
        mine = theirs
    else:
        mine = _by_key(_read(witnesses.first, policy, task, read.first, read.last).logs)
        _two_nodes(_label(witnesses.first), _label(source))
    logs = dict(theirs)
    dropped: set[_Key] = set()
    for number in differing:
        here = _of(number, stored)
        seen = _of(number, theirs)
        only_lacks = here.items() <= seen.items()
        if only_lacks and _of(number, mine) == seen and _bloom_allows(headers[number], seen):
            continue
        if alone and witnesses.second is not None:
            raise _Dispute(
                number,
                f"block {number} differs from what is stored; only the second endpoint of LCAI_RPC"
                " can settle it, and it does not answer",
            )
        header, settled = _by_hash(engine, policy, witnesses, task, number, here)
        headers[number] = header
        for key in seen:
            del logs[key]
        logs.update(settled)
        dropped |= {key for key, log in here.items() if settled.get(key) != log}
    return _Agreed(logs, dropped, headers)


def _of(number: int, logs: _Logs) -> _Logs:
    return {key: log for key, log in logs.items() if key[0] == number}


def _bloom_allows(header: Block, logs: _Logs) -> bool:
    empty = not int(header.logs_bloom, 16)
    return all(
        log.block_hash == header.hash
        and (empty or may_contain(header.logs_bloom, log.address, log.topics[:1]))
        for log in logs.values()
    )


def _two_nodes(one: str, other: str) -> None:
    # A failover in between would make one node its own witness, and so would one URL given twice:
    # labels are a place in the list and a fingerprint.
    if one.partition("-")[2] == other.partition("-")[2]:
        raise RpcUnavailable(
            f"both readings came from endpoint {one}: the other one failed meanwhile, try again"
        )


def _by_hash(
    engine: Engine,
    policy: IndexPolicy,
    witnesses: _Witnesses,
    task: _Task,
    number: int,
    stored: _Logs,
) -> tuple[Block, _Logs]:
    """The logs of one block, read whole and by its hash from every witness.

    Returned when all of them show the same, or when all that do not contradict themselves show
    what is stored. Raises ``_Dispute`` otherwise.
    """
    with engine.connect() as connection:
        kept = blocks.header_at(connection, policy.chain_id, number)
    held = kept.hash if kept is not None else witnesses.first.block(number).hash
    votes: dict[str, tuple[Block, _Logs]] = {}
    against: dict[str, str] = {}
    for reader in (witnesses.first, witnesses.second):
        if reader is None:
            continue
        label = _label(reader)
        for asked in votes.keys() | against.keys():
            _two_nodes(asked, label)
        try:
            votes[label] = _whole(reader, policy, task, number, held)
        except BadAnswer as error:
            against[label] = str(error)
            continue
        if _label(reader) != label:
            raise RpcUnavailable(f"endpoint {label} failed while block {number} was read by hash")
    shown = [logs for _, logs in votes.values()]
    alike = bool(shown) and all(logs == shown[0] for logs in shown)
    if alike and witnesses.second is None and not stored.items() <= shown[0].items():
        # One node alone drops nothing without the header's word for it.
        ((header, _),) = votes.values()
        alike = bool(int(header.logs_bloom, 16))
    if alike and (not against or shown[0] == stored):
        return next(iter(votes.values()))
    says = [f"endpoint {label} shows {len(logs)} logs" for label, (_, logs) in votes.items()]
    says += [f"endpoint {label}: {problem}" for label, problem in against.items()]
    raise _Dispute(
        number, f"block {number} ({held}): {len(stored)} logs are stored; {'; '.join(says)}"
    )


def _whole(
    reader: ChainReader, policy: IndexPolicy, task: _Task, number: int, held: str
) -> tuple[Block, _Logs]:
    """Our logs of the block ``held``. Raises ``BadAnswer`` for an answer that cannot be true."""
    header = reader.block(number)
    if header.hash != held:
        raise BadAnswer(f"says that block {number} is {header.hash}")
    whole = reader.block_logs(header)
    if any(log.block_hash != held for log in whole):
        raise BadAnswer(f"sent logs of another block for {held}")
    bits = int(header.logs_bloom, 16)
    # Some chains fill no blooms: an empty one proves nothing, for or against.
    if bits and bloom_of(whole) != bits:
        raise BadAnswer(f"its logs of block {number} do not make the header's bloom")
    wanted = set(task.addresses)
    ours = [
        log
        for log in whole
        if log.address in wanted
        and log.topics
        and is_registered(policy.roles[log.address], log.topics[0])
    ]
    return header, _by_key(ours)


# ── Report ──────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class _Tally:
    reader: ChainReader
    first: int | None = None
    last: int = -1
    blocks: int = 0
    logs: int = 0
    history: int = 0
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

    def read(self, read: ReadRange) -> None:
        self.first = read.first if self.first is None else min(self.first, read.first)
        self.last = max(self.last, read.last)
        self.blocks += read.last - read.first + 1
        self.logs += len(read.logs)

    def repaired(self, rows: Mapping[str, int], findings: list[Finding], history: int) -> None:
        self.findings += findings
        self.history += history
        for projection, changed in rows.items():
            table = PROJECTIONS[projection]
            self.rows[table] = self.rows.get(table, 0) + changed

    def report(self, engine: Engine, policy: IndexPolicy, behind: int) -> VerifyReport:
        rpc = self.reader.rpc
        at = _lowest(engine, policy)
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
