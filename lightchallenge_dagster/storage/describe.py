"""What a table looks like right now: its columns, how many rows, the first few of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import column, func, select, table, text

if TYPE_CHECKING:
    from sqlalchemy import Connection

_COLUMNS = text("""
    select a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
           coalesce(col_description(a.attrelid, a.attnum), '')
      from pg_attribute a
     where a.attrelid = to_regclass(:name) and a.attnum > 0 and not a.attisdropped
     order by a.attnum
""")


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """One column as PostgreSQL's catalog describes it."""

    name: str
    type: str
    not_null: bool
    comment: str


def columns(connection: Connection, name: str) -> list[ColumnFacts]:
    """The columns of ``schema.table`` in order; empty when there is no such table."""
    rows = connection.execute(_COLUMNS, {"name": name})
    return [ColumnFacts(*row) for row in rows]


def row_count(connection: Connection, name: str) -> int:
    """Exact number of rows of ``schema.table``."""
    schema, _, bare = name.partition(".")
    relation = table(bare, column("ctid"), schema=schema)
    return connection.execute(select(func.count()).select_from(relation)).scalar_one()


def first_rows(
    connection: Connection, query: str, parameters: Mapping[str, Any] | None = None
) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
    """Column names and rows of a query that limits itself (the package's own SQL)."""
    result = connection.execute(text(query), dict(parameters or {}))
    return list(result.keys()), [tuple(row) for row in result]
