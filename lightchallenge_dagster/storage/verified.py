"""How far the stored logs have been read a second time: pipeline.verified_streams.

A stream is one contract with the set of events that the registry knows of it. A contract that is
added, or an event, makes a new stream, which starts before the first indexed block.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from lightchallenge_dagster.errors import TransientError
from lightchallenge_dagster.rules.events import RawLog
from lightchallenge_dagster.rules.reorg import Point
from lightchallenge_dagster.storage.bulk import copy_rows


class WatermarkMoved(TransientError):
    """A reorg or another verification moved the watermark first: this one's range counts not."""


@dataclass(frozen=True, slots=True)
class StreamKey:
    """A contract by role and address, and the fingerprint of its registered topics."""

    role: str
    address: str
    topics_hash: str


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream and its watermark: the blocks up to ``block_number`` were read twice and agree.

    ``block_hash`` is None until a first range has passed. Logs found below ``followed_from`` are
    history that the follower never read, not late ones. ``problem`` says why the watermark does
    not pass ``problem_block``; ``paused`` is set while it was tried only just now.
    """

    key: StreamKey
    block_number: int
    block_hash: str | None
    followed_from: int
    late_logs: int
    wrong_logs: int
    history_logs: int
    problem: str | None
    problem_block: int | None
    problem_since: datetime | None
    paused: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """A log that the second reading added ("late") or dropped ("wrong")."""

    finding: str
    log: RawLog
    event: str | None


def begin(
    connection: Connection,
    chain_id: int,
    keys: Iterable[StreamKey],
    *,
    first_block: int,
    checkpoint: int,
) -> int:
    """Make the streams that do not exist yet, before ``first_block``; how many were made.

    The first ones of a chain have been followed from ``first_block`` on, later ones from the
    block after ``checkpoint``.
    """
    wanted = list(keys)
    return connection.execute(
        text(
            "insert into pipeline.verified_streams"
            " (chain_id, role, address, topics_hash, block_number, followed_from)"
            " select :chain_id, role, address, topics_hash, :first_block - 1,"
            "  case when exists (select 1 from pipeline.verified_streams"
            "                    where chain_id = :chain_id)"
            "       then :checkpoint + 1 else :first_block end"
            " from unnest(cast(:roles as text[]), cast(:addresses as text[]),"
            "             cast(:hashes as text[])) as wanted (role, address, topics_hash)"
            " on conflict do nothing"
        ),
        {
            "chain_id": chain_id,
            "first_block": first_block,
            "checkpoint": checkpoint,
            "roles": [key.role for key in wanted],
            "addresses": [key.address for key in wanted],
            "hashes": [key.topics_hash for key in wanted],
        },
    ).rowcount


def streams(
    connection: Connection, chain_id: int, keys: Iterable[StreamKey], *, pause_s: float = 0.0
) -> list[Stream]:
    """Those of ``keys`` that exist, the furthest behind first.

    ``pause_s``: a stream with a problem that was tried less than this many seconds ago is paused.
    """
    wanted = set(keys)
    rows = connection.execute(
        text(
            "select role, address, topics_hash, block_number, block_hash, followed_from,"
            "  late_logs, wrong_logs, history_logs, problem, problem_block, problem_since,"
            "  problem is not null and tried_at > now() - make_interval(secs => :pause_s)"
            "    as paused"
            " from pipeline.verified_streams where chain_id = :chain_id"
            " order by block_number, role, address, topics_hash"
        ),
        {"chain_id": chain_id, "pause_s": pause_s},
    )
    found = [Stream(StreamKey(*row[:3]), *row[3:]) for row in rows]
    return [stream for stream in found if stream.key in wanted]


def advance(
    connection: Connection,
    chain_id: int,
    passed: Sequence[Stream],
    to: Point,
    *,
    late: Mapping[str, int] | None = None,
    wrong: Mapping[str, int] | None = None,
    history: Mapping[str, int] | None = None,
) -> None:
    """Move the watermark of ``passed`` to ``to``, compare-and-set; a problem up to there is over.

    Counts are by address. Raises ``WatermarkMoved`` when one of the streams is not where it was.
    """
    for stream in passed:
        moved = connection.execute(
            text(
                "update pipeline.verified_streams"
                " set block_number = :number, block_hash = :hash, updated_at = now(),"
                "     late_logs = late_logs + :late, wrong_logs = wrong_logs + :wrong,"
                "     history_logs = history_logs + :history,"
                "     problem = case when problem_block > :number then problem end,"
                "     problem_since = case when problem_block > :number then problem_since end,"
                "     tried_at = case when problem_block > :number then tried_at end,"
                "     problem_block = case when problem_block > :number then problem_block end"
                " where chain_id = :chain_id and role = :role and address = :address"
                "   and topics_hash = :topics_hash and block_number = :from_number"
                "   and block_hash is not distinct from cast(:from_hash as text)"
            ),
            _key(chain_id, stream.key)
            | {
                "number": to.number,
                "hash": to.hash,
                "late": (late or {}).get(stream.key.address, 0),
                "wrong": (wrong or {}).get(stream.key.address, 0),
                "history": (history or {}).get(stream.key.address, 0),
                "from_number": stream.block_number,
                "from_hash": stream.block_hash,
            },
        ).rowcount
        if moved != 1:
            raise WatermarkMoved(
                f"the verified watermark of {stream.key.role} is not at block"
                f" {stream.block_number} any more: what was read again above it counts not"
            )


def note_problem(
    connection: Connection, chain_id: int, held_back: Sequence[Stream], block: int, problem: str
) -> None:
    """Say why the watermark of these streams does not pass ``block``."""
    for stream in held_back:
        connection.execute(
            text(
                "update pipeline.verified_streams"
                " set problem = :problem, problem_block = :block, tried_at = now(),"
                "     problem_since = case when problem_block = :block then problem_since"
                "                          else now() end"
                " where chain_id = :chain_id and role = :role and address = :address"
                "   and topics_hash = :topics_hash and block_number = :number"
            ),
            _key(chain_id, stream.key)
            | {"problem": problem, "block": block, "number": stream.block_number},
        )


def undo_after(connection: Connection, chain_id: int, base: Point) -> int:
    """Take watermarks above ``base`` back to it: what was verified there is undone.

    For whoever undoes blocks, in the same transaction. Returns how many streams stepped back.
    """
    return connection.execute(
        text(
            "update pipeline.verified_streams"
            " set block_number = :number, block_hash = :hash, updated_at = now(),"
            "     problem = null, problem_block = null, problem_since = null, tried_at = null"
            " where chain_id = :chain_id and block_number > :number"
        ),
        {"chain_id": chain_id, "number": base.number, "hash": base.hash},
    ).rowcount


def add_findings(connection: Connection, chain_id: int, findings: Iterable[Finding]) -> int:
    """Keep what the second reading added and dropped, log by log."""
    return copy_rows(
        connection,
        "pipeline.verification_findings",
        (
            "chain_id",
            "finding",
            "block_number",
            "log_index",
            "block_hash",
            "tx_hash",
            "address",
            "event",
        ),
        (
            (
                chain_id,
                one.finding,
                one.log.block_number,
                one.log.log_index,
                one.log.block_hash,
                one.log.tx_hash,
                one.log.address,
                one.event,
            )
            for one in findings
        ),
    )


def _key(chain_id: int, key: StreamKey) -> dict[str, Any]:
    return {
        "chain_id": chain_id,
        "role": key.role,
        "address": key.address,
        "topics_hash": key.topics_hash,
    }
