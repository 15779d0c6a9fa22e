"""What an operator's jobs read and mend: rows of the tables that other modules own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


# ── Outcomes ────────────────────────────────────────────────────────────────────────────


def without_outcome(connection: Connection) -> list[int]:
    """Challenges that are Finalized and have no ``chain_outcome``; the contract counts from 1."""
    rows = connection.execute(
        text("""
            select id from public.challenges
             where id > 0 and lower(status) = 'finalized' and chain_outcome is null order by id
        """)
    )
    return list(rows.scalars())


def write_outcomes(connection: Connection, outcomes: Mapping[int, int]) -> int:
    """Write ``chain_outcome`` where there is none yet; returns how many got one."""
    rows = connection.execute(
        text(sql.load("ops/write_outcomes")),
        {"ids": list(outcomes), "outcomes": list(outcomes.values())},
    )
    return len(rows.all())


# ── Jobs ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class TerminalJob:
    """A job of a challenge that has ended: by the web app's word, or on chain."""

    challenge_id: int
    job_status: str
    attempts: int
    last_error: str | None
    challenge_status: str | None
    chain_status: str | None


@dataclass(frozen=True, slots=True)
class StuckJob:
    """A job that is to be looked at.

    ``working``: a worker's claim on it lives. ``silent``: nothing was heard of it for long.
    """

    challenge_id: int
    status: str
    attempts: int
    updated_at: datetime
    last_error: str | None
    worker: str | None
    working: bool
    silent: bool
    ended: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one challenge stands on its way to a request; None where there is no such thing.

    ``worker`` is who works on its job right now; the ``intent`` is the latest request's.
    """

    known: bool
    challenge_status: str | None
    chain_status: str | None
    problem: str | None
    noted_request: str | None
    job_status: str | None
    attempts: int | None
    last_error: str | None
    worker: str | None
    intent: str | None
    intent_status: str | None
    intent_error: str | None
    retry_at: datetime | None


def standing(connection: Connection, challenge_id: int) -> Standing:
    """Where the challenge stands, also one that nobody knows."""
    row = connection.execute(text(sql.load("ops/standing")), {"challenge_id": challenge_id})
    return Standing(**row.mappings().one())


def terminal_jobs(connection: Connection, challenge_ids: Sequence[int]) -> list[TerminalJob]:
    """These challenges' jobs, as they are shown before they are canceled."""
    rows = connection.execute(
        text(sql.load("ops/terminal_jobs")), {"challenge_ids": list(challenge_ids)}
    )
    return [TerminalJob(**row) for row in rows.mappings()]


def stuck_jobs(
    connection: Connection,
    minutes: float,
    challenge_ids: Sequence[int] | None = None,
    *,
    lock: bool = False,
) -> list[StuckJob]:
    """Jobs in ``processing`` without a sign of life for ``minutes``; or those of these challenges.

    ``lock``: nobody changes them until the transaction ends.
    """
    ids = None if challenge_ids is None else list(challenge_ids)
    query = sql.load("ops/stuck_jobs") + ("for update of j" if lock else "")
    rows = connection.execute(text(query), {"minutes": minutes, "challenge_ids": ids})
    return [StuckJob(**row) for row in rows.mappings()]


def requeue(connection: Connection, challenge_id: int, *, attempts: int, note: str | None) -> None:
    """Queue a job again, due at once; ``note`` becomes its ``last_error``.

    Retry times of a request that was never signed are over; what was signed stays as it is.
    """
    connection.execute(
        text("""
            update public.aivm_jobs
               set status = 'queued', attempts = :attempts, last_error = :note, updated_at = now()
             where challenge_id = :challenge_id
        """),
        {"challenge_id": challenge_id, "attempts": attempts, "note": note},
    )
    due_now(connection, challenge_id)


def due_now(connection: Connection, challenge_id: int) -> None:
    """Let the retry time of the challenge's request pass, where nothing was signed for it."""
    connection.execute(
        text("""
            update pipeline.intents set retry_at = null, updated_at = now()
             where challenge_id = :challenge_id and kind = 'request'
               and status in ('planned', 'refused') and retry_at is not null
        """),
        {"challenge_id": challenge_id},
    )


# ── MetadataRegistry ────────────────────────────────────────────────────────────────────


def without_uri(connection: Connection) -> list[int]:
    """Challenges whose metadata URI is not known to be in MetadataRegistry, by id."""
    rows = connection.execute(
        text("""
            select id from public.challenges
             where id > 0 and lower(registry_status) is distinct from 'success' order by id
        """)
    )
    return list(rows.scalars())


def record_registry(
    connection: Connection,
    challenge_id: int,
    status: str,
    *,
    tx_hash: str | None = None,
    error: str | None = None,
) -> None:
    """Note what became of the challenge's URI: ``success``, ``failed`` or ``pending``.

    A hash that is there stays where ``tx_hash`` is None: the web app may have written it.
    """
    connection.execute(
        text("""
            update public.challenges
               set registry_status = :status, registry_error = :error, updated_at = now(),
                   registry_tx_hash = coalesce(:tx_hash, registry_tx_hash)
             where id = :challenge_id
               and (registry_status, registry_error, registry_tx_hash) is distinct from
                   (:status, :error, coalesce(:tx_hash, registry_tx_hash))
        """),
        {"challenge_id": challenge_id, "status": status, "error": error, "tx_hash": tx_hash},
    )
