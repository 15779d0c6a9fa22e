"""Who is right, where the second reading and the stored logs differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Engine

from lightchallenge_dagster.chain.reader import BadAnswer, Block, ChainReader, RangeRefused, RawLog
from lightchallenge_dagster.chain.rpc import RpcUnavailable
from lightchallenge_dagster.rules.witnesses import Key, Logs, Statement, only_late, settled
from lightchallenge_dagster.steps.indexing.policy import IndexPolicy
from lightchallenge_dagster.steps.indexing.read import ReadRange
from lightchallenge_dagster.steps.verification import witnesses as ask
from lightchallenge_dagster.steps.verification.compare import by_key
from lightchallenge_dagster.steps.verification.witnesses import Contradiction, Dispute, Witnesses
from lightchallenge_dagster.storage import blocks


@dataclass(frozen=True, slots=True)
class Agreed:
    """The logs of a range as the endpoints agree on them, and the stored ones that must go."""

    logs: Logs
    dropped: set[Key]
    headers: dict[int, Block]

    def missing(self, stored: Logs) -> list[RawLog]:
        """Those of the logs that are not among ``stored``, or not as they are."""
        return [log for key, log in self.logs.items() if stored.get(key) != log]

    @property
    def timestamps(self) -> dict[int, int]:
        """Block number -> its time in epoch seconds."""
        return {header.number: header.timestamp for header in self.headers.values()}


def agree(
    engine: Engine,
    policy: IndexPolicy,
    witnesses: Witnesses,
    source: ChainReader,
    addresses: Sequence[str],
    read: ReadRange,
    stored: Logs,
) -> Agreed:
    """What the range ``read`` from ``source`` holds, by every witness there is.

    Blocks that only lack logs are completed when the other endpoint's range shows the same and
    the header's bloom allows it. Every other block is settled by its hash. Raises ``Dispute`` for
    the first block that cannot be.
    """
    theirs = by_key(read)
    readings = _readings(policy, witnesses, source, addresses, read)
    headers = {header.number: header for header in read.headers}
    logs = dict(theirs)
    dropped: set[Key] = set()
    for number in _differing(stored, theirs):
        here = _of(number, stored)
        seen = [_maybe_of(number, one) for one in readings]
        # Where the reading has no log it has no header either, and there is nothing to add.
        if number in headers and only_late(headers[number], here, seen):
            continue
        if source is witnesses.first and witnesses.second is not None:
            raise Dispute(
                number,
                f"block {number} differs from what is stored; only the second endpoint of LCAI_RPC"
                " can settle it, and it does not answer",
            )
        headers[number], found = _by_hash(engine, policy, witnesses, addresses, number, here)
        logs = {key: log for key, log in logs.items() if key[0] != number} | dict(found)
        dropped |= {key for key, log in here.items() if found.get(key) != log}
    return Agreed(logs, dropped, headers)


def as_agreed(read: ReadRange, agreed: Agreed) -> ReadRange:
    """The range with the headers and logs that were agreed on."""
    headers = [agreed.headers[number] for number in sorted(agreed.headers)]
    return replace(read, headers=headers, logs=[agreed.logs[key] for key in sorted(agreed.logs)])


def _readings(
    policy: IndexPolicy,
    witnesses: Witnesses,
    source: ChainReader,
    addresses: Sequence[str],
    read: ReadRange,
) -> list[Logs | None]:
    """The range as each witness that can be asked for it shows it."""
    theirs = by_key(read)
    if source is witnesses.first:
        return [theirs]
    try:
        mine = by_key(ask.read(witnesses.first, policy, addresses, read.first, read.last))
    except Contradiction:
        # What it says of the range counts for nothing; its blocks are asked for by hash.
        return [theirs, None]
    ask.require_two(ask.label(witnesses.first), ask.label(source))
    return [theirs, mine]


def _by_hash(
    engine: Engine,
    policy: IndexPolicy,
    witnesses: Witnesses,
    addresses: Sequence[str],
    number: int,
    stored: Logs,
) -> tuple[Block, Logs]:
    """The logs of one block, read whole and by its hash from every witness.

    Raises ``Dispute`` when what they show does not settle it.
    """
    with engine.connect() as connection:
        kept = blocks.header_at(connection, policy.chain_id, number)
    held = kept.hash if kept is not None else witnesses.first.block(number).hash
    heard: dict[str, _Said] = {}
    for reader in witnesses.all:
        for asked in heard:
            ask.require_two(asked, ask.label(reader))
        label = ask.label(reader)
        heard[label] = _hear(reader, policy, addresses, number, held)
    found = settled(stored, [one.statement for one in heard.values()])
    header = next((one.header for one in heard.values() if one.header is not None), None)
    if found is None or header is None:
        said = "; ".join(f"endpoint {label}{one.words}" for label, one in heard.items())
        raise Dispute(number, f"block {number} ({held}): {len(stored)} logs are stored; {said}")
    return header, found


@dataclass(frozen=True, slots=True)
class _Said:
    statement: Statement
    header: Block | None
    words: str


def _hear(
    reader: ChainReader, policy: IndexPolicy, addresses: Sequence[str], number: int, held: str
) -> _Said:
    label = ask.label(reader)
    try:
        header, logs, sealed = ask.whole_block(reader, policy, addresses, number, held)
    except BadAnswer as error:
        return _Said(Statement(None), None, f": {error}")
    except RangeRefused as refused:
        if refused.late:
            raise
        return _Said(Statement(None), None, f": {refused}")
    if ask.label(reader) != label:
        raise RpcUnavailable(f"endpoint {label} failed while block {number} was read by hash")
    return _Said(Statement(logs, sealed), header, f" shows {len(logs)} logs")


def _differing(stored: Logs, theirs: Logs) -> list[int]:
    keys = stored.keys() | theirs.keys()
    return sorted({key[0] for key in keys if stored.get(key) != theirs.get(key)})


def _of(number: int, logs: Logs) -> Logs:
    return {key: log for key, log in logs.items() if key[0] == number}


def _maybe_of(number: int, logs: Logs | None) -> Logs | None:
    return None if logs is None else _of(number, logs)
