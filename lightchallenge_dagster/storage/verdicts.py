"""``public.verdicts`` and ``pipeline.judgements``: what is to be judged, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import text

from lightchallenge_dagster.storage import sql

if TYPE_CHECKING:
    from sqlalchemy import Connection

_LOCK = text("select pg_advisory_xact_lock(hashtextextended('judge:' || :partition_key, 0))")


@dataclass(frozen=True, slots=True)
class Pending:
    """A wallet of a challenge with the inputs its verdict should be made from.

    ``evidence_ids`` are the latest rows per provider. ``submitted_at`` is known once an evidence
    row with a recognised record was seen, and never changes again.
    """

    challenge_id: int
    subject: str
    partition_key: str
    inputs_hash: str
    evidence_ids: list[int]
    submitted_at: datetime | None


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    """One row of ``public.evidence``; ``data`` is its JSON text."""

    id: int
    challenge_id: int
    subject: str
    provider: str
    data: str
    evidence_hash: str
    created_at: datetime


def lock(connection: Connection, partition_key: str) -> None:
    """Wait for whoever else judges or ranks this partition, until the transaction ends."""
    connection.execute(_LOCK, {"partition_key": partition_key})


def pending(
    connection: Connection,
    *,
    partition_key: str | None = None,
    challenge_ids: Sequence[int] | None = None,
    until: datetime | None = None,
    everything: bool = False,
) -> list[Pending]:
    """Wallets whose evidence, rule or accepted sources changed since their verdict, or without one.

    Narrowed to a partition or some challenges; with ``until`` only evidence created by then
    counts; with ``everything`` also what has not changed. Ordered by challenge and wallet.
    """
    rows = connection.execute(
        text(sql.load("judge/pending")),
        {
            "partition_key": partition_key,
            "challenge_ids": challenge_ids,
            "until": until,
            "everything": everything,
        },
    )
    return [Pending(*row) for row in rows]


def evidence(connection: Connection, ids: Iterable[int]) -> list[EvidenceRow]:
    """Evidence rows by id."""
    rows = connection.execute(text(sql.load("judge/evidence")), {"ids": list(ids)})
    return [EvidenceRow(*row) for row in rows]


def history(
    connection: Connection, pairs: Sequence[tuple[int, str]]
) -> dict[tuple[int, str], list[tuple[int, datetime]]]:
    """Id and ``created_at`` of every evidence row of (challenge, wallet) pairs, oldest first."""
    rows = connection.execute(
        text(sql.load("judge/history")),
        {
            "challenge_ids": [challenge_id for challenge_id, _ in pairs],
            "subjects": [subject for _, subject in pairs],
        },
    )
    found: dict[tuple[int, str], list[tuple[int, datetime]]] = {}
    for row in rows:
        found.setdefault((row.challenge_id, row.subject), []).append((row.id, row.created_at))
    return found
