"""``public.reputation``, computed from ``public.achievement_mints``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from lightchallenge_dagster.storage import bulk, sql

if TYPE_CHECKING:
    from sqlalchemy import Connection

_LOCK = text("select pg_advisory_xact_lock(hashtextextended('reputation', 0))")
_MINTS = text("select recipient, achievement_type from public.achievement_mints")


def lock(connection: Connection) -> None:
    """Wait for whoever else computes reputation, until the transaction ends."""
    connection.execute(_LOCK)


def pending(connection: Connection, points: Mapping[str, int], levels: Sequence[int]) -> int:
    """Wallets whose stored reputation is not what their mints give.

    ``points`` by achievement type; ``levels`` are the points from which each level is reached,
    ascending from level 1.
    """
    return connection.execute(
        text(sql.load("reputation/pending")),
        {"kinds": list(points), "points": list(points.values()), "levels": list(levels)},
    ).scalar_one()


def mints(connection: Connection) -> list[tuple[str, str]]:
    """(recipient, achievement_type) of every mint."""
    return [(row.recipient, row.achievement_type) for row in connection.execute(_MINTS)]


def replace(connection: Connection, rows: Iterable[tuple[Any, ...]]) -> tuple[int, int, int]:
    """Make the reputation exactly ``rows``: (inserted, changed, removed).

    A row is subject, points, level, completions, victories.
    """
    bulk.stage(
        connection,
        "staged_reputation",
        "subject text primary key, points integer, level integer, completions integer,"
        " victories integer",
    )
    bulk.copy_rows(
        connection,
        "staged_reputation",
        ("subject", "points", "level", "completions", "victories"),
        rows,
    )
    connection.execute(text("analyze staged_reputation"))
    removed = connection.execute(text(sql.load("reputation/remove"))).rowcount
    changed = connection.execute(text(sql.load("reputation/update"))).rowcount
    inserted = connection.execute(text(sql.load("reputation/insert"))).rowcount
    connection.execute(text("drop table staged_reputation"))
    return inserted, changed, removed
