"""What an operator's jobs read and mend: rows of the tables that other modules own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import text

from lightchallenge_dagster.storage import sql

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class WaitingIntent:
    """An effect that is wanted and not on chain yet; ``reason`` says what it waits for.

    ``retry_at``: when it is looked at again; None for the next run.
    """

    key: str
    kind: str
    challenge_id: int | None
    signer: str
    status: str
    reason: str | None
    retry_at: datetime | None


def waiting_intents(connection: Connection, kinds: Sequence[str]) -> list[WaitingIntent]:
    """Intents of these kinds that are neither on chain nor given up, the soonest due first.

    Refusals that a later attempt made good are left out.
    """
    rows = connection.execute(text(sql.load("ops/waiting_intents")), {"kinds": list(kinds)})
    return [WaitingIntent(**row) for row in rows.mappings()]
