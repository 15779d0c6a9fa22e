"""Many rows at once: PostgreSQL's COPY through the driver under a SQLAlchemy connection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

from psycopg import sql as psql

if TYPE_CHECKING:
    import psycopg
    from sqlalchemy import Connection


def copy_rows(
    connection: Connection,
    table: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    types: Sequence[str] | None = None,
) -> int:
    """Append ``rows`` to ``table`` ("name" or "schema.name") by COPY, inside the open transaction.

    Values are adapted by psycopg (wrap JSON in ``psycopg.types.json.Jsonb``). ``types`` are the
    columns' (``int8``, ``text[]``, …): with them the rows travel in binary, which costs both sides
    half as much. Returns the number of rows written; raises ``psycopg.Error`` when the table
    refuses one, and then none is kept.
    """
    driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
    statement = psql.SQL("copy {} ({}) from stdin{}").format(
        psql.Identifier(*table.split(".")),
        psql.SQL(", ").join(psql.Identifier(column) for column in columns),
        psql.SQL("" if types is None else " (format binary)"),
    )
    with driver.cursor() as cursor:
        with cursor.copy(statement) as copy:
            if types is not None:
                copy.set_types(types)
            for row in rows:
                copy.write_row(row)
        return cursor.rowcount


def stage(connection: Connection, name: str, columns_ddl: str) -> None:
    """Create the temporary table ``name`` that lives until the end of this transaction.

    ``columns_ddl`` is the text between the parentheses, written in this package's own code.
    """
    driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
    statement = psql.SQL("create temporary table {} ({}) on commit drop").format(
        psql.Identifier(name), psql.SQL(cast("Any", columns_ddl))
    )
    driver.execute(statement)
