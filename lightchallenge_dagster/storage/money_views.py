"""The queue, the wallets and what they spent, as the pages of money show them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from sqlalchemy import text

from lightchallenge_dagster.storage import sql

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class QueueCount:
    """Jobs of one status; ``oldest`` is when the longest unchanged of them was last written."""

    status: str
    jobs: int
    oldest: datetime
    attempts: int


@dataclass(frozen=True, slots=True)
class WalletState:
    """A signing wallet; ``spent_wei`` in the last 24 hours, ``last_nonce`` the highest mined."""

    signer: str
    in_flight: int
    unconfirmed: int
    last_nonce: int | None
    spent_wei: int


@dataclass(frozen=True, slots=True)
class Spend:
    """What one kind of transaction cost on one UTC day, in wei."""

    day: date
    kind: str
    wei: int


def queue(connection: Connection) -> list[QueueCount]:
    """The queue by status, in the order a job goes through them."""
    rows = connection.execute(text(sql.load("ui/queue")))
    return [QueueCount(row.status, row.jobs, row.oldest, int(row.attempts)) for row in rows]


def wallets(connection: Connection) -> list[WalletState]:
    """The wallets that ever signed here."""
    rows = connection.execute(text(sql.load("ui/wallets")))
    return [
        WalletState(row.signer, row.in_flight, row.unconfirmed, row.last_nonce, int(row.spent_wei))
        for row in rows
    ]


def spend(connection: Connection) -> list[Spend]:
    """What was spent in the last 30 days."""
    rows = connection.execute(text(sql.load("ui/spend")))
    return [Spend(row.day, row.kind, int(row.wei)) for row in rows]
