"""The partition keys that the tables know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from sqlalchemy import Connection

_CHALLENGE_DAYS = text("select distinct partition_key from pipeline.challenge_plans")


def challenge_days(connection: Connection) -> set[str]:
    """UTC days on which a known challenge ends, and "unscheduled" where one has no end."""
    return set(connection.execute(_CHALLENGE_DAYS).scalars())
