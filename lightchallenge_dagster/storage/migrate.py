"""Brings a database to the schema this package needs; safe to run again, and from two places."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, cast

import psycopg

from lightchallenge_dagster.errors import PermanentError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

# Any fixed number: it names the lock under which a migration file runs.
LOCK_KEY = 0x11C4_A11E

_LEDGER = """
create table if not exists public.schema_migrations (
    filename   text primary key,
    applied_at timestamptz not null default now()
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of ``sql/migrations``; ``filename`` is its key in the ledger."""

    filename: str
    text: str


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """File names in order: those applied by this call, and those the ledger already held."""

    applied: tuple[str, ...]
    skipped: tuple[str, ...]


class MigrationError(PermanentError):
    """A file was refused by the database, which is as it was before that file."""


def shipped() -> list[Migration]:
    """The package's own migrations (500 and up: the web app's runner owns 001 to 499)."""
    folder = resources.files("lightchallenge_dagster") / "sql" / "migrations"
    files = [entry for entry in folder.iterdir() if entry.name.endswith(".sql")]
    return [
        Migration(entry.name, entry.read_text(encoding="utf-8"))
        for entry in sorted(files, key=lambda entry: entry.name)
    ]


def _silent(line: str) -> None:
    return


def migrate(
    engine: Engine,
    *,
    migrations: Iterable[Migration] | None = None,
    report: Callable[[str], None] = _silent,
) -> MigrationReport:
    """Apply every migration ``public.schema_migrations`` does not name yet, in file order.

    The ledger is shared with the web app's runner. Each file is one transaction together with
    its ledger row, under a transaction-scoped advisory lock (a pooler would lose a session one),
    so a failing file leaves nothing behind and a second runner waits and then skips. ``report``
    gets one line for each file applied. Raises ``MigrationError`` naming the file and line.
    """
    applied: list[str] = []
    skipped: list[str] = []
    for migration in shipped() if migrations is None else migrations:
        with engine.begin() as connection:
            connection.exec_driver_sql("select pg_advisory_xact_lock(%s)", (LOCK_KEY,))
            connection.exec_driver_sql(_LEDGER)
            known = connection.exec_driver_sql(
                "select 1 from public.schema_migrations where filename = %s", (migration.filename,)
            ).first()
            if known is not None:
                skipped.append(migration.filename)
                continue
            _run(connection, migration)
            connection.exec_driver_sql(
                "insert into public.schema_migrations (filename) values (%s)",
                (migration.filename,),
            )
        applied.append(migration.filename)
        report(f"applied {migration.filename}")
    return MigrationReport(tuple(applied), tuple(skipped))


def pending(engine: Engine, migrations: Sequence[Migration] | None = None) -> list[str]:
    """File names ``migrate`` would apply now. Reads only."""
    files = [migration.filename for migration in migrations or shipped()]
    with engine.connect() as connection:
        ledger = connection.exec_driver_sql(
            "select to_regclass('public.schema_migrations') is not null"
        ).scalar_one()
        if not ledger:
            return files
        known = set(
            connection.exec_driver_sql("select filename from public.schema_migrations").scalars()
        )
    return [filename for filename in files if filename not in known]


def _run(connection: Connection, migration: Migration) -> None:
    driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
    try:
        # Without parameters psycopg sends the text as it is: many statements, '%' and ':' literal.
        driver.execute(migration.text.encode())
    except psycopg.Error as error:
        raise MigrationError(_refusal(migration, error)) from error


def _refusal(migration: Migration, error: psycopg.Error) -> str:
    """What the database said, at the line where it said it if it named a position."""
    place = migration.filename
    position = error.diag.statement_position
    if position is not None:
        place += f", line {migration.text.count(chr(10), 0, int(position) - 1) + 1}"
    parts = [error.diag.message_primary or str(error), error.diag.message_detail]
    return (
        f"migration {place}: {'; '.join(part for part in parts if part)}. "
        "Nothing of this file was applied; correct the database or the file and run it again"
    )
