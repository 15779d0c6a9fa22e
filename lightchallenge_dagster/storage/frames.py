"""Tables as Polars frames and back, by COPY in CSV: a million rows in seconds, no row in Python."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import psycopg
from psycopg import sql as psql
from sqlalchemy import text

if TYPE_CHECKING:
    import polars as pl
    from sqlalchemy import Connection

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
    statement = cursor.mogrify(command, parameters)
    with driver.cursor() as reader, reader.copy(statement.encode()) as copy:
        data = b"".join(copy)
    return pl.read_csv(data, has_header=False, schema=dict(schema), raise_if_empty=False)


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
            copy.write(frame.write_csv(include_header=False, datetime_format="%+"))
        return cursor.rowcount
