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


@dataclass(frozen=True, slots=True)
class Reverted:
    """A request whose ``made`` attempts all reverted for good; ``next`` is one more."""

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
    """Attempts that reverted, and whose fee was last looked at, ``after_s`` seconds ago or more.

    The newest of each request; of one chain, or of whichever the database is about.
    """
    rows = connection.execute(
        text(sql.load("outbox/refunds_reverted")), {"chain_id": chain_id, "after_s": after_s}
    )
    return [
        Reverted(
            request_id=int(row.request_id),
            made=row.made,
            next=Intent(
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


def note(connection: Connection, request_id: int, chain_status: int) -> None:
    """Note what a confirmed block said of a dead request: whether its fee is back."""
    connection.execute(
        text("""
            update pipeline.request_watch set chain_status = :chain_status, read_at = now()
             where request_id = :request_id
        """),
        {"request_id": request_id, "chain_status": chain_status},
    )
