"""``public.verdicts`` and ``pipeline.judgements``: what is to be judged, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from sqlalchemy import text

from lightchallenge_dagster.storage import bulk, sql

if TYPE_CHECKING:
    from sqlalchemy import Connection

_STAGED = {
    "challenge_id": "int8",
    "subject": "text",
    "pass": "bool",
    "reasons": bulk.READY,
    "evidence_hash": "text",
    "evaluator": "text",
    "score": "numeric",
    "metadata": bulk.READY,
    "created_at": "timestamptz",
    "submitted_at": "timestamptz",
    "inputs_hash": "text",
    "final_when": "text",
}

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


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict to store. ``created_at`` is the time of submission that ties are broken by.

    ``metadata`` is JSON text.
    """

    challenge_id: int
    subject: str
    passed: bool
    reasons: Sequence[str]
    evidence_hash: str
    evaluator: str
    score: Decimal | None
    metadata: bytes
    created_at: datetime
    submitted_at: datetime | None
    inputs_hash: str
    final_when: Literal["now", "ends_at", "proof_deadline"]


@dataclass(frozen=True, slots=True)
class Stored:
    """Rows of ``public.verdicts`` that a batch inserted, changed, left alone; and settled ones."""

    inserted: int = 0
    changed: int = 0
    unchanged: int = 0
    settled: int = 0

    def __add__(self, other: Stored) -> Stored:
        """Two batches as one."""
        return Stored(
            self.inserted + other.inserted,
            self.changed + other.changed,
            self.unchanged + other.unchanged,
            self.settled + other.settled,
        )


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


def store(
    connection: Connection, judged: Sequence[Judged], *, overwrite_settled: bool = False
) -> Stored:
    """Write a batch: only rows that differ are touched.

    Settled verdicts (an intent to bind or prove, a bound or winning pass, a closed ranking) stay
    as they are unless ``overwrite_settled``; the outcome of a closed ranking stays even then.
    """
    if not judged:
        return Stored()
    bulk.stage(
        connection,
        "staged_verdicts",
        "challenge_id bigint, subject text, pass boolean, reasons text[], evidence_hash text,"
        " evaluator text, score numeric, metadata jsonb, created_at timestamptz,"
        " submitted_at timestamptz, inputs_hash text, final_when text,"
        " settled boolean not null default false, ranked boolean not null default false,"
        " winner boolean, primary key (challenge_id, subject)",
    )
    bulk.copy_rows(
        connection,
        "staged_verdicts",
        list(_STAGED),
        (
            (
                row.challenge_id,
                row.subject,
                row.passed,
                bulk.text_array(row.reasons),
                row.evidence_hash,
                row.evaluator,
                row.score,
                bulk.encoded_jsonb(row.metadata),
                row.created_at,
                row.submitted_at,
                row.inputs_hash,
                row.final_when,
            )
            for row in judged
        ),
        types=list(_STAGED.values()),
    )
    overwrite = {"overwrite_settled": overwrite_settled}
    connection.execute(text("analyze staged_verdicts"))
    connection.execute(text(sql.load("judge/lock")))
    connection.execute(text(sql.load("judge/settle")))
    connection.execute(text(sql.load("judge/outcome")))
    settled = connection.execute(text(sql.load("judge/counts")), overwrite).scalar_one()
    changed = connection.execute(text(sql.load("judge/update")), overwrite).rowcount
    inserted = connection.execute(text(sql.load("judge/insert"))).rowcount
    connection.execute(text(sql.load("judge/remember")), overwrite)
    connection.execute(text("drop table staged_verdicts"))
    return Stored(
        inserted=inserted,
        changed=changed,
        unchanged=len(judged) - inserted - changed - settled,
        settled=settled,
    )
