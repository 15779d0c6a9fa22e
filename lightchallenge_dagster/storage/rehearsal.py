"""A dry run of the database's part: everything happens, and nothing of it stays."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from sqlalchemy import text

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine


class _Rehearsal:
    """What steps use of an engine, on one connection whose transaction is never committed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @contextmanager
    def begin(self) -> Generator[Connection]:
        with self._connection.begin_nested():
            yield self._connection

    connect = begin


@contextmanager
def rehearsal(engine: Engine) -> Generator[Engine]:
    """An engine for steps whose every write is taken back at the end.

    What one of its transactions writes the next one sees, so a step runs as it would in earnest.
    For one thread. Rows it writes are locked until the end: a row that somebody else holds for more
    than five seconds ends the rehearsal with an ``OperationalError``.
    """
    with engine.connect() as connection:
        outer = connection.begin()
        try:
            connection.execute(text("set local lock_timeout = '5s'"))
            # What it locks others wait for: a node that does not answer must not hold them up.
            connection.execute(text("set local idle_in_transaction_session_timeout = '30s'"))
            # Steps ask of an engine no more than ``begin`` and ``connect``.
            yield cast("Engine", _Rehearsal(connection))
        finally:
            outer.rollback()
