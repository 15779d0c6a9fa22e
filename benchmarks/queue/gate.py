"""Processes that begin at one moment: all wait at a gate, in the database, until all are there."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy import Engine, text

from benchmarks.common import ChildFailed
from lightchallenge_dagster.storage.database import connect

_LOCK = 7_504


@contextmanager
def closed(url: str, visitors: int, patience_s: float) -> Generator[None]:
    """Nobody passes the gate inside; at the end it opens, when all ``visitors`` stand at it.

    Raises ``ChildFailed`` when they do not within ``patience_s`` seconds.
    """
    engine = connect(url)
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("select pg_advisory_lock(:lock)"), {"lock": _LOCK})
            yield
            ends = time.monotonic() + patience_s
            while connection.execute(_WAITING, {"lock": _LOCK}).scalar_one() < visitors:
                if time.monotonic() > ends:
                    raise ChildFailed(
                        f"not all of {visitors} processes came up in {patience_s:g} s"
                    )
                time.sleep(0.01)
    finally:
        engine.dispose()  # the lock goes with its connection


_WAITING = text("""
    select count(*) from pg_locks
     where locktype = 'advisory' and objid = :lock and not granted
       and database = (select oid from pg_database where datname = current_database())
""")


def passed(engine: Engine) -> float:
    """Wait at the gate; the moment it opened, in epoch seconds."""
    with engine.begin() as connection:
        connection.execute(text("select pg_advisory_xact_lock_shared(:lock)"), {"lock": _LOCK})
    return time.time()
