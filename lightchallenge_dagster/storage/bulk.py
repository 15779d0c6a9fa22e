"""Many rows at once: PostgreSQL's COPY through the driver under a SQLAlchemy connection."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec
from psycopg import sql as psql

if TYPE_CHECKING:
    import psycopg
    from sqlalchemy import Connection


READY = "bytea"
"""The type of bytes, which travel as they are: for values that are encoded already."""


def copy_rows(
    connection: Connection,
    table: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    types: Sequence[str] | None = None,
) -> int:
    """Append ``rows`` to ``table`` ("name" or "schema.name") by COPY, inside the open transaction.

    Values are adapted by psycopg (wrap JSON in ``psycopg.types.json.Jsonb``). ``types`` are the
    columns' (``int8``, ``text``, …): with them the rows travel in binary, which costs both sides
    half as much. Of the type ``READY``, a column takes bytes that are in PostgreSQL's binary form
    already (``text_array``, ``jsonb``). Returns the number of rows written; raises
    ``psycopg.Error`` when the table refuses one, and then none is kept.
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


_TEXT = 25  # oid
_ARRAY_HEAD = struct.Struct("!5i")
_LENGTH = struct.Struct("!i").pack


def text_array(values: Sequence[str]) -> bytes:
    """A ``text[]`` of one dimension in PostgreSQL's binary form, for a ``READY`` column."""
    if not values:
        return struct.pack("!3i", 0, 0, _TEXT)
    parts = [_ARRAY_HEAD.pack(1, 0, _TEXT, len(values), 1)]
    for value in values:
        encoded = value.encode()
        parts += (_LENGTH(len(encoded)), encoded)
    return b"".join(parts)


_json = msgspec.json.encode


def jsonb(value: object) -> bytes:
    """A ``jsonb`` in PostgreSQL's binary form, for a ``READY`` column."""
    return encoded_jsonb(_json(value))


def encoded_jsonb(text: bytes) -> bytes:
    """The same for a value that is JSON text already (version 1: the text behind a byte)."""
    return b"\x01" + text


def stage(connection: Connection, name: str, columns_ddl: str) -> None:
    """Create the temporary table ``name`` that lives until the end of this transaction.

    ``columns_ddl`` is the text between the parentheses, written in this package's own code.
    """
    driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
    statement = psql.SQL("create temporary table {} ({}) on commit drop").format(
        psql.Identifier(name), psql.SQL(cast("Any", columns_ddl))
    )
    driver.execute(statement)
