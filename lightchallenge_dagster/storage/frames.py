"""Tables as Polars frames and back, by COPY in CSV: a million rows in seconds, no row in Python."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import psycopg
from psycopg import sql as psql
from psycopg.pq import ExecStatus
from sqlalchemy import text

if TYPE_CHECKING:
    import polars as pl
    from psycopg.pq.abc import PGconn, PGresult
    from sqlalchemy import Connection

_PIECE = 50_000
"""Rows that are written at a time."""

_ROOMY = text("select set_config('work_mem', '128MB', true)")

_NESTED_LOOPS = text("select set_config('enable_nestloop', :allowed, true)")


def roomy(connection: Connection) -> None:
    """Let this transaction's joins and sorts stay in memory (128 MB each) instead of on disk."""
    connection.execute(_ROOMY)


@contextmanager
def joined_whole(connection: Connection) -> Generator[None]:
    """Have tables joined whole, not by look-ups a row, where PostgreSQL cannot guess sizes."""
    connection.execute(_NESTED_LOOPS, {"allowed": "off"})
    yield
    connection.execute(_NESTED_LOOPS, {"allowed": "on"})


def read(
    connection: Connection,
    query: str,
    parameters: Mapping[str, Any],
    schema: Mapping[str, pl.DataType | type[pl.DataType]],
) -> pl.DataFrame:
    """The rows of ``query`` (the package's own SQL, ``:name`` parameters) as a frame of ``schema``.

    Column by column, in order; null and empty text stay apart. Times come as epoch microseconds
    (``pl.Int64``), numbers without a bound on their digits as text.
    """
    import polars as pl

    driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
    # COPY takes no parameters from the server's side: the client writes them into the statement.
    named = str(text(query.rstrip().rstrip(";")).compile(dialect=connection.dialect))
    cursor = psycopg.ClientCursor(driver)
    command = f"copy ({named}\n) to stdout (format csv)".encode()
    data = _copied_out(driver.pgconn, cursor.mogrify(command, parameters).encode())
    return pl.read_csv(data, has_header=False, schema=dict(schema), raise_if_empty=False)


def _copied_out(connection: PGconn, statement: bytes) -> bytes:
    """What a COPY to stdout sends.

    By libpq's own calls: the server sends a message a row, and psycopg's loop spends five times as
    long on each.
    """
    result = connection.exec_(statement)
    if result.status != ExecStatus.COPY_OUT:
        raise psycopg.errors.error_from_result(result)
    rows: list[bytes] = []
    receive = connection.get_copy_data
    while True:
        size, row = receive(0)
        if size < 0:
            break
        rows.append(bytes(row))
    error: PGresult | None = None
    while (result := connection.get_result()) is not None:
        if result.status != ExecStatus.COMMAND_OK:
            error = result
    if error is not None:
        raise psycopg.errors.error_from_result(error)
    return b"".join(rows)


def write(connection: Connection, table: str, frame: pl.DataFrame) -> int:
    """Append ``frame`` to the columns of ``table`` that are named like its own; how many rows.

    Raises ``psycopg.Error`` when the table refuses a row, and then none is kept.
    """
    driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
    statement = psql.SQL("copy {} ({}) from stdin (format csv)").format(
        psql.Identifier(*table.split(".")),
        psql.SQL(", ").join(psql.Identifier(column) for column in frame.columns),
    )
    with driver.cursor() as cursor:
        with cursor.copy(statement) as copy:
            # In pieces: the server takes one in while the next is written.
            for piece in frame.iter_slices(_PIECE):
                copy.write(piece.write_csv(include_header=False, datetime_format="%+"))
        return cursor.rowcount
