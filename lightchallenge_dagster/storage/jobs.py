"""``public.aivm_jobs``: one job per challenge, from queued to submitted.

The rest of its way (committed, revealed, done) is the indexer's, from what the network does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from sqlalchemy import text

from lightchallenge_dagster.rules.gates import DispatchFacts, ProofFields
from lightchallenge_dagster.rules.prompt import SCHEMA_VERSION
from lightchallenge_dagster.storage import proof_fields, sql

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What a request is made of; ``own_…`` is the passing verdict of ``challenges.subject``.

    ``noted_task`` is the task of a request that the job or ``proof.taskBinding`` names already, and
    that is not dead; ``noted_known``: it is indexed.
    """

    challenge_id: int
    subject: str | None
    fields: ProofFields
    own_score: Decimal | None
    own_evidence_hash: str | None
    own_updated_at: datetime | None
    noted_task: str | None = None
    noted_known: bool = False


@dataclass(frozen=True, slots=True)
class Misnoted:
    """A job that names another task than its own transaction made, and the right request."""

    challenge_id: int
    request_id: int
    task_id: str
    tx_hash: str
    worker: str


def dispatch_facts(connection: Connection) -> list[DispatchFacts]:
    """Every active, unpaused challenge without a job or a request, as the gate asks about it."""
    rows = connection.execute(text(sql.load("jobs/dispatch_facts")))
    return [
        DispatchFacts(
            challenge_id=row.challenge_id,
            mode=row.mode,
            end_ts=row.end_ts,
            proof_deadline_ts=row.proof_deadline_ts,
            passed=row.passed,
            provisional_winners=row.provisional_winners,
            problem=row.problem,
            fields=ProofFields(
                row.model_id, row.model_hash, row.params_hash, row.benchmark_hash, row.backend
            ),
        )
        for row in rows
    ]


def queue(connection: Connection, challenge_ids: Sequence[int]) -> list[int]:
    """Queue a job for each challenge that has none; returns those that got one."""
    statement = text("""
        insert into public.aivm_jobs (challenge_id, status, attempts)
        select id, 'queued', 0 from unnest(cast(:challenge_ids as bigint[])) id
         order by id
        on conflict (challenge_id) do nothing
        returning challenge_id
    """)
    rows = connection.execute(statement, {"challenge_ids": list(challenge_ids)})
    return sorted(rows.scalars())


def terminal(connection: Connection) -> list[int]:
    """Challenges that ended before their job sent anything."""
    return list(connection.execute(text(sql.load("jobs/terminal"))).scalars())


def cancel(connection: Connection, challenge_ids: Sequence[int], reason: str) -> list[int]:
    """Cancel jobs that have sent nothing yet; returns the challenges whose job it was."""
    statement = text("""
        update public.aivm_jobs set status = 'canceled', last_error = :reason, updated_at = now()
         where challenge_id = any(cast(:challenge_ids as bigint[]))
           and status in ('queued', 'failed', 'processing')
        returning challenge_id
    """)
    rows = connection.execute(statement, {"challenge_ids": list(challenge_ids), "reason": reason})
    return sorted(rows.scalars())


def request_facts(connection: Connection, challenge_ids: Sequence[int]) -> list[RequestFacts]:
    """What the requests of these challenges are made of."""
    rows = connection.execute(
        text(sql.load("jobs/request_facts")), {"challenge_ids": list(challenge_ids)}
    )
    return [
        RequestFacts(
            challenge_id=row.challenge_id,
            subject=row.subject,
            fields=ProofFields(
                row.model_id, row.model_hash, row.params_hash, row.benchmark_hash, row.backend
            ),
            own_score=row.own_score,
            own_evidence_hash=row.own_evidence_hash,
            own_updated_at=row.own_updated_at,
            noted_task=row.noted_task,
            noted_known=row.noted_known,
        )
        for row in rows
    ]


def record_submitted(
    connection: Connection,
    challenge_id: int,
    *,
    request_id: int,
    task_id: str,
    tx_hash: str | None,
    worker: str,
    again: bool = False,
) -> None:
    """Note the challenge's request in its job and in ``challenges.proof``.

    ``proof.taskBinding`` is {requestId (decimal string), taskId, schemaVersion}. ``again``: in a
    job too that was further already, with another task.
    """
    connection.execute(
        text(sql.load("jobs/submitted")),
        {"challenge_id": challenge_id, "task_id": task_id, "worker": worker, "again": again},
    )
    proof_fields.merge(
        connection,
        challenge_id,
        {
            "taskBinding": {
                "requestId": str(request_id),
                "taskId": task_id,
                "schemaVersion": SCHEMA_VERSION,
            },
            "verificationStatus": "requested",
            "poiResultHash": None,
            "poiTranscriptHash": None,
            "poiSlot": None,
            "poiAttestationCount": 0,
        }
        | ({} if tx_hash is None else {"requestTxHash": tx_hash}),
    )
    connection.execute(
        text(sql.load("jobs/progress")), {"challenge_id": challenge_id, "task_id": task_id}
    )


def made_by(connection: Connection, tx_hash: str) -> tuple[int, str] | None:
    """Id and task of the indexed request that a transaction made."""
    row = connection.execute(
        text("""
            select request_id, task_id from pipeline.inference_requests
             where requested_tx = :tx_hash
        """),
        {"tx_hash": tx_hash},
    ).first()
    return None if row is None else (int(row.request_id), row.task_id)


def misnoted(connection: Connection) -> list[Misnoted]:
    """Jobs whose request a reorg gave another id and task than those noted."""
    rows = connection.execute(text(sql.load("jobs/misnoted")))
    return [
        Misnoted(row.challenge_id, int(row.request_id), row.task_id, row.tx_hash, row.worker)
        for row in rows
    ]


def note_again(connection: Connection, one: Misnoted) -> None:
    """Note the right request in a job and its challenge; the job may step back."""
    record_submitted(
        connection,
        one.challenge_id,
        request_id=one.request_id,
        task_id=one.task_id,
        tx_hash=one.tx_hash,
        worker=one.worker,
        again=True,
    )


def put_back(connection: Connection, challenge_id: int, error: str) -> None:
    """Return a job to the queue: nothing was sent, and it was nobody's fault."""
    connection.execute(
        text("""
            update public.aivm_jobs set status = 'queued', last_error = :error, updated_at = now()
             where challenge_id = :challenge_id and status = 'processing'
        """),
        {"challenge_id": challenge_id, "error": error},
    )


def end(connection: Connection, challenge_id: int, status: str, error: str) -> None:
    """End a job that has sent nothing: ``skipped`` (already finalized) or ``canceled``."""
    connection.execute(
        text("""
            update public.aivm_jobs set status = :status, last_error = :error, updated_at = now()
             where challenge_id = :challenge_id and status = 'processing'
        """),
        {"challenge_id": challenge_id, "status": status, "error": error},
    )


def record_failure(
    connection: Connection, challenge_id: int, error: str, max_attempts: int
) -> str | None:
    """Count a refusal by a contract: the job is ``failed``, or ``dead`` at the maximum.

    Returns the new status, None when the job is no longer being worked on.
    """
    return connection.execute(
        text("""
            update public.aivm_jobs
               set attempts = attempts + 1, last_error = :error, updated_at = now(),
                   status = case when attempts + 1 >= :max_attempts then 'dead' else 'failed' end
             where challenge_id = :challenge_id and status = 'processing'
            returning status
        """),
        {"challenge_id": challenge_id, "error": error, "max_attempts": max_attempts},
    ).scalar_one_or_none()
