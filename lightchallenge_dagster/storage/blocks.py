"""Headers and logs as they were read: pipeline.chain_blocks and pipeline.chain_logs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, text

from lightchallenge_dagster.rules.events import DecodedEvent, RawLog
from lightchallenge_dagster.rules.reorg import Block, Point
from lightchallenge_dagster.storage.bulk import READY, copy_rows, jsonb, stage, text_array

_LOG_COLUMNS = {
    "chain_id": "int8",
    "block_number": "int8",
    "log_index": "int4",
    "block_hash": "text",
    "block_timestamp": "int8",
    "tx_hash": "text",
    "tx_index": "int4",
    "address": "text",
    "topics": READY,
    "data": "text",
    "event": "text",
    "challenge_id": "int8",
    "account": "text",
    "request_id": "numeric",
    "args": READY,
    "snapshot": READY,
    "problem": "text",
}

_HEADER_COLUMNS = {
    "chain_id": "int8",
    "number": "int8",
    "hash": "text",
    "parent_hash": "text",
    "timestamp": "int8",
    "log_count": "int4",
}


class IndexedLog(msgspec.Struct, frozen=True, gc=False):
    """A log with what it says, its block's time (epoch seconds) and the snapshot beside it."""

    raw: RawLog
    event: DecodedEvent
    block_timestamp: int
    snapshot: Mapping[str, Any] | None = None


def headers_down_from(
    connection: Connection, chain_id: int, number: int, lowest: int
) -> list[Point]:
    """Stored headers from ``number`` down to ``lowest``, newest first."""
    rows = connection.execute(
        text(
            "select number, hash from pipeline.chain_blocks"
            " where chain_id = :chain_id and number between :lowest and :number"
            " order by number desc"
        ),
        {"chain_id": chain_id, "number": number, "lowest": lowest},
    )
    return [Point(row.number, row.hash) for row in rows]


def header_at(connection: Connection, chain_id: int, number: int) -> Point | None:
    """The stored header of one block, if it is kept."""
    row = connection.execute(
        text(
            "select number, hash from pipeline.chain_blocks"
            " where chain_id = :chain_id and number = :number"
        ),
        {"chain_id": chain_id, "number": number},
    ).one_or_none()
    return None if row is None else Point(row.number, row.hash)


def header_at_or_below(connection: Connection, chain_id: int, number: int) -> Point | None:
    """The newest stored header that is not above ``number``, if any is kept."""
    return _first(
        connection,
        "select number, hash from pipeline.chain_blocks"
        " where chain_id = :chain_id and number <= :number order by number desc limit 1",
        {"chain_id": chain_id, "number": number},
    )


def header_at_or_above(connection: Connection, chain_id: int, number: int) -> Point | None:
    """The oldest stored header that is not below ``number``, if any is kept."""
    return _first(
        connection,
        "select number, hash from pipeline.chain_blocks"
        " where chain_id = :chain_id and number >= :number order by number limit 1",
        {"chain_id": chain_id, "number": number},
    )


def _first(connection: Connection, query: str, parameters: dict[str, int]) -> Point | None:
    row = connection.execute(text(query), parameters).one_or_none()
    return None if row is None else Point(row.number, row.hash)


def add_headers(
    connection: Connection, chain_id: int, headers: Iterable[Block], log_counts: Mapping[int, int]
) -> int:
    """Store new headers, each with the number of its logs."""
    return copy_rows(
        connection,
        "pipeline.chain_blocks",
        tuple(_HEADER_COLUMNS),
        (
            (chain_id, h.number, h.hash, h.parent_hash, h.timestamp, log_counts.get(h.number, 0))
            for h in headers
        ),
        tuple(_HEADER_COLUMNS.values()),
    )


def add_logs(connection: Connection, chain_id: int, logs: Iterable[IndexedLog]) -> int:
    """Store new logs. A log already stored is a unique violation: nothing is overwritten."""
    return copy_rows(
        connection,
        "pipeline.chain_logs",
        tuple(_LOG_COLUMNS),
        (_log_row(chain_id, log) for log in logs),
        tuple(_LOG_COLUMNS.values()),
    )


def undo_after(connection: Connection, chain_id: int, number: int) -> tuple[int, int]:
    """Delete every header and log above ``number``; how many of each."""
    parameters = {"chain_id": chain_id, "number": number}
    logs = connection.execute(
        text(
            "delete from pipeline.chain_logs where chain_id = :chain_id and block_number > :number"
        ),
        parameters,
    ).rowcount
    headers = connection.execute(
        text("delete from pipeline.chain_blocks where chain_id = :chain_id and number > :number"),
        parameters,
    ).rowcount
    return headers, logs


def drop_empty_headers(
    connection: Connection, chain_id: int, above: int, below: int, keep: int
) -> int:
    """Forget headers without logs between two blocks (both excluded), except block ``keep``."""
    return connection.execute(
        text(
            "delete from pipeline.chain_blocks"
            " where chain_id = :chain_id and number > :above and number < :below"
            " and log_count = 0 and number <> :keep"
        ),
        {"chain_id": chain_id, "above": above, "below": below, "keep": keep},
    ).rowcount


def stored_logs(
    connection: Connection, chain_id: int, first: int, last: int
) -> dict[tuple[int, int], RawLog]:
    """The stored logs of a range as they were read, by block and log index."""
    rows = connection.execute(
        text(
            "select block_number, block_hash, tx_hash, tx_index, log_index, address, topics, data"
            " from pipeline.chain_logs"
            " where chain_id = :chain_id and block_number between :first and :last"
        ),
        {"chain_id": chain_id, "first": first, "last": last},
    )
    return {(row.block_number, row.log_index): raw_log(row) for row in rows}


def raw_log(row: Row[Any]) -> RawLog:
    """The log as it was read, from a row with its columns."""
    return RawLog(
        row.block_number,
        row.block_hash,
        row.tx_hash,
        row.tx_index,
        row.log_index,
        row.address,
        tuple(row.topics),
        row.data,
    )


def drop_logs(connection: Connection, chain_id: int, keys: Sequence[tuple[int, int]]) -> int:
    """Delete logs by block and log index."""
    return connection.execute(
        text(
            "delete from pipeline.chain_logs l"
            " using unnest(cast(:numbers as bigint[]), cast(:indexes as integer[]))"
            "   as gone (block_number, log_index)"
            " where l.chain_id = :chain_id and l.block_number = gone.block_number"
            "   and l.log_index = gone.log_index"
        ),
        {
            "chain_id": chain_id,
            "numbers": [number for number, _ in keys],
            "indexes": [index for _, index in keys],
        },
    ).rowcount


def complete_headers(connection: Connection, chain_id: int, headers: Iterable[Block]) -> int:
    """Store headers that are missing, then set the log counts of these blocks from their logs."""
    stage(
        connection,
        "read_headers",
        "number bigint, hash text, parent_hash text, timestamp bigint",
    )
    copy_rows(
        connection,
        "read_headers",
        ("number", "hash", "parent_hash", "timestamp"),
        ((h.number, h.hash, h.parent_hash, h.timestamp) for h in headers),
    )
    return connection.execute(
        text(
            "insert into pipeline.chain_blocks as b"
            " (chain_id, number, hash, parent_hash, timestamp, log_count)"
            " select :chain_id, h.number, h.hash, h.parent_hash, h.timestamp,"
            "  (select count(*) from pipeline.chain_logs l"
            "   where l.chain_id = :chain_id and l.block_number = h.number)"
            " from read_headers h"
            " on conflict (chain_id, number) do update set log_count = excluded.log_count"
            " where b.log_count <> excluded.log_count"
        ),
        {"chain_id": chain_id},
    ).rowcount


def _log_row(chain_id: int, log: IndexedLog) -> tuple[Any, ...]:
    raw, event = log.raw, log.event
    return (
        chain_id,
        raw.block_number,
        raw.log_index,
        raw.block_hash,
        log.block_timestamp,
        raw.tx_hash,
        raw.tx_index,
        raw.address,
        text_array(raw.topics),
        raw.data,
        event.event,
        event.challenge_id,
        event.account,
        event.request_id,
        None if event.args is None else jsonb(event.args),
        None if log.snapshot is None else jsonb(log.snapshot),
        event.problem,
    )
