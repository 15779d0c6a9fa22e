"""Who works on which AIVM job: claims with a lease, a heartbeat and a fencing token.

``public.aivm_jobs`` is the queue, ``pipeline.job_claims`` says who has taken what from it. All
instants are the database's own clock, so the clocks of the workers do not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text

from lightchallenge_dagster.errors import TransientError
from lightchallenge_dagster.storage import sql

if TYPE_CHECKING:
    from sqlalchemy import Connection


class ClaimLost(TransientError):
    """The worker was silent for longer than its lease, so the job is somebody else's."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One challenge's job, taken. The ``token`` grows with every claim of the job."""

    challenge_id: int
    token: int


def due(connection: Connection) -> list[int]:
    """Challenges whose job a worker can bring forward now, the oldest job first."""
    rows = connection.execute(
        text("select challenge_id from pipeline.due_jobs order by created_at, id")
    )
    return list(rows.scalars())


def claim(
    connection: Connection,
    worker: str,
    *,
    batch: int,
    lease_s: float,
    challenge_ids: Sequence[int] | None = None,
) -> list[Claim]:
    """Take up to ``batch`` due jobs for ``lease_s`` seconds and set them to ``processing``.

    ``challenge_ids`` narrows the choice. Two workers never hold one job at a time.
    """
    rows = connection.execute(
        text(sql.load("queue/claim")),
        {
            "worker": worker,
            "batch": batch,
            "lease_s": lease_s,
            "challenge_ids": None if challenge_ids is None else list(challenge_ids),
        },
    )
    return [Claim(row.challenge_id, row.token) for row in rows]


def renew(connection: Connection, claims: Iterable[Claim], lease_s: float) -> list[Claim]:
    """The heartbeat: extend claims that are still held; returns those."""
    held: list[Claim] = []
    for one in sorted(claims, key=lambda one: one.challenge_id):
        row = connection.execute(
            text("""
                update pipeline.job_claims
                   set heartbeat_at = clock_timestamp(),
                       expires_at = clock_timestamp() + make_interval(secs => :lease_s)
                 where challenge_id = :challenge_id and token = :token
                   and expires_at > clock_timestamp()
            """),
            {"challenge_id": one.challenge_id, "token": one.token, "lease_s": lease_s},
        )
        if row.rowcount:
            held.append(one)
    return held


def hold(connection: Connection, one: Claim) -> None:
    """Keep the claim until the transaction ends, so that what it writes is still the claimant's.

    Raises ``ClaimLost`` when the claim has expired or changed hands.
    """
    key = {"challenge_id": one.challenge_id, "token": one.token}
    # The job first, as a claim does: in the other order two workers could wait for each other.
    connection.execute(
        text("select 1 from public.aivm_jobs where challenge_id = :challenge_id for update"), key
    )
    row = connection.execute(
        text("""
            select 1 from pipeline.job_claims
             where challenge_id = :challenge_id and token = :token
               and expires_at > clock_timestamp()
               for update
        """),
        key,
    )
    if row.first() is None:
        raise ClaimLost(
            f"challenge {one.challenge_id}: the job's claim was lost; whoever has it now goes on"
        )


def release(connection: Connection, claims: Iterable[Claim]) -> None:
    """Give claims back; does nothing about those that are lost already."""
    for one in sorted(claims, key=lambda one: one.challenge_id):
        # The row stays, so that the next token is larger than every one before it.
        connection.execute(
            text("""
                update pipeline.job_claims set expires_at = '-infinity'
                 where challenge_id = :challenge_id and token = :token
            """),
            {"challenge_id": one.challenge_id, "token": one.token},
        )


def reap(connection: Connection) -> list[int]:
    """Put jobs back whose worker died; returns their challenges."""
    return sorted(connection.execute(text(sql.load("queue/reap"))).scalars())
