"""Verdicts on their way into ``public.verdicts``: gathered in a temporary table, stored at once.

However many there are, none of them is in memory, and rows of the real table are locked for the
moment of storing only: whoever binds or proves does not wait for the judging.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from sqlalchemy import text

from lightchallenge_dagster.storage import bulk, frames, sql

if TYPE_CHECKING:
    from sqlalchemy import Connection

_COLUMNS = {
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
_DDL = (
    "challenge_id bigint, subject text, pass boolean, reasons text[], evidence_hash text,"
    " evaluator text, score numeric, metadata jsonb, created_at timestamptz,"
    " submitted_at timestamptz, inputs_hash text, final_when text,"
    " settled boolean not null default false, ranked boolean not null default false,"
    " winner boolean, primary key (challenge_id, subject)"
)
_MANY = 1_000


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
    """Rows of ``public.verdicts`` that were inserted, changed, left alone; and settled ones."""

    inserted: int = 0
    changed: int = 0
    unchanged: int = 0
    settled: int = 0


class StagedVerdicts:
    """The verdicts of one transaction before they are stored; one at a time in a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._count = 0
        bulk.stage(connection, "staged_verdicts", _DDL)

    def add(self, judged: Sequence[Judged]) -> None:
        """Put verdicts beside those that are there, a wallet of a challenge once."""
        self._count += bulk.copy_rows(
            self._connection,
            "staged_verdicts",
            list(_COLUMNS),
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
            types=list(_COLUMNS.values()),
        )

    def store(self, *, overwrite_settled: bool = False) -> Stored:
        """Write them: only rows that differ are touched.

        Settled verdicts (an intent to bind or prove, a bound or winning pass, a closed ranking)
        stay as they are unless ``overwrite_settled``; the outcome of a closed ranking stays even
        then.
        """
        connection, overwrite = self._connection, {"overwrite_settled": overwrite_settled}
        many = self._count >= _MANY
        connection.execute(text("analyze staged_verdicts"))
        with frames.joined_whole(connection) if many else nullcontext():
            connection.execute(text(sql.load("judge/lock")))
            connection.execute(text(sql.load("judge/settle")))
            connection.execute(text(sql.load("judge/outcome")))
            settled = connection.execute(text(sql.load("judge/counts")), overwrite).scalar_one()
            changed = connection.execute(text(sql.load("judge/update")), overwrite).rowcount
            inserted = connection.execute(text(sql.load("judge/insert"))).rowcount
            connection.execute(text(sql.load("judge/remember")), overwrite)
        connection.execute(text("drop table staged_verdicts"))
        return Stored(inserted, changed, self._count - inserted - changed - settled, settled)
