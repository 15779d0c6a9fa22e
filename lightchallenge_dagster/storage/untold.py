"""Stored logs beside which a contract would not tell what their event does not carry."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection, text

from lightchallenge_dagster.rules.events import RawLog
from lightchallenge_dagster.storage.blocks import IndexedLog, raw_log

UNTOLD = "its % was not read: %"
"""The problem of such a log, as ``steps.indexing.describe`` words it, as a pattern of LIKE."""

_AT_ONCE = 200


def untold(connection: Connection, chain_id: int) -> list[tuple[RawLog, int]]:
    """Some of those logs, each with its block's time (epoch seconds).

    Others another time: by chance, so that one that is never told keeps none from being asked for.
    """
    rows = connection.execute(
        text(
            "select block_number, block_hash, tx_hash, tx_index, log_index, address, topics, data,"
            " block_timestamp from pipeline.chain_logs"
            " where chain_id = :chain_id and problem is not null and problem like :untold"
            "   and snapshot is null"
            " order by random() limit :at_once"
        ),
        {"chain_id": chain_id, "untold": UNTOLD, "at_once": _AT_ONCE},
    )
    return [(raw_log(row), row.block_timestamp) for row in rows]


def tell(connection: Connection, chain_id: int, logs: Iterable[IndexedLog]) -> list[IndexedLog]:
    """Store what was told beside ``logs``; those of them that are stored still, and untold."""
    return [log for log in logs if _tell(connection, chain_id, log)]


def _tell(connection: Connection, chain_id: int, log: IndexedLog) -> bool:
    done = connection.execute(
        text(
            "update pipeline.chain_logs"
            " set snapshot = cast(:snapshot as jsonb), problem = :problem"
            " where chain_id = :chain_id and block_number = :number and log_index = :index"
            "   and block_hash = :hash and snapshot is null"
        ),
        {
            "chain_id": chain_id,
            "number": log.raw.block_number,
            "index": log.raw.log_index,
            "hash": log.raw.block_hash,
            "snapshot": msgspec.json.encode(log.snapshot).decode(),
            "problem": log.event.problem,
        },
    )
    return done.rowcount == 1
