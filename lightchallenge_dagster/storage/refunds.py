"""Reclaims: one intent for each attempt to take the fee of one request back.

The first is called ``reclaim:<challenge>:<request>``, a later one has its number behind that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text

from lightchallenge_dagster.storage import sql
from lightchallenge_dagster.storage.outbox import Intent

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: What the row of an attempt says whose fee came back in another way; the checks know the words.
IS_BACK = "its fee is back already"


@dataclass(frozen=True, slots=True)
class Reverted:
    """An attempt that reverted for good, and the ``made`` attempts of its request with it."""

    key: str
    request_id: int
    made: int
    next: Intent


def key(challenge_id: int, request_id: int, attempt: int = 1) -> str:
    """The key of the intent that takes a fee back for the ``attempt``-th time."""
    first = f"reclaim:{challenge_id}:{request_id}"
    return first if attempt == 1 else f"{first}:{attempt}"


def request_of(intent: Intent) -> int:
    """The id of the request whose fee the intent takes back."""
    return int(intent.key.split(":")[2])


def reverted(connection: Connection, after_s: float, chain_id: int | None = None) -> list[Reverted]:
    """Attempts that reverted ``after_s`` seconds ago or more and were followed by none.

    Of one chain, or of whichever the database is about.
    """
    rows = connection.execute(
        text(sql.load("outbox/refunds_reverted")), {"chain_id": chain_id, "after_s": after_s}
    )
    return [
        Reverted(
            row.key,
            int(row.request_id),
            row.made,
            Intent(
                key=key(row.challenge_id, int(row.request_id), row.made + 1),
                kind="reclaim",
                signer=row.signer,
                to=row.to_address,
                data=row.data,
                challenge_id=row.challenge_id,
            ),
        )
        for row in rows
    ]


def note_back(connection: Connection, reverted_key: str) -> None:
    """Note that the fee of a reverted attempt is back all the same."""
    connection.execute(
        text("update pipeline.intents set last_error = :why where key = :key"),
        {"key": reverted_key, "why": IS_BACK},
    )
