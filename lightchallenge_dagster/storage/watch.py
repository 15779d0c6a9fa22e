"""Requests under watch: what the contract said of them, and which serve nobody any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import text

from lightchallenge_dagster.rules.proof import expected_response_hash
from lightchallenge_dagster.storage import sql

if TYPE_CHECKING:
    from sqlalchemy import Connection


class Read(Protocol):
    """What ``AIVMInferenceV2.requests`` said (``chain.contracts``); ``fee`` in wei."""

    @property
    def fee(self) -> int: ...
    @property
    def status(self) -> int: ...
    @property
    def commit_deadline(self) -> int: ...
    @property
    def reveal_deadline(self) -> int: ...
    @property
    def finalize_deadline(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Watched:
    """A request to be read from the contract. ``seen_status`` is the indexed one."""

    request_id: int
    challenge_id: int
    task_id: str
    requester: str
    seen_status: str


def watchable(connection: Connection, chain_now_ts: int) -> list[Watched]:
    """Requests whose fate is to be read at ``chain_now_ts`` (epoch seconds, chain time).

    One that was answered as it should be needs no look.
    """
    rows = connection.execute(text(sql.load("jobs/watchable")), {"chain_now_ts": chain_now_ts})
    return [
        Watched(int(row.request_id), row.challenge_id, row.task_id, row.requester, row.seen_status)
        for row in rows
        if row.seen_status != "finalized"
        or row.response_hash != expected_response_hash(row.challenge_id)
    ]


def record(connection: Connection, one: Watched, read: Read, dead: str | None) -> bool:
    """Note what the contract said; false when the request is noted as dead already."""
    row = connection.execute(
        text(sql.load("jobs/watched")),
        {
            "request_id": one.request_id,
            "challenge_id": one.challenge_id,
            "task_id": one.task_id,
            "requester": one.requester,
            "fee_wei": read.fee,
            "chain_status": read.status,
            "commit_deadline": read.commit_deadline,
            "reveal_deadline": read.reveal_deadline,
            "finalize_deadline": read.finalize_deadline,
            "seen_status": one.seen_status,
            "dead": dead,
        },
    )
    return row.first() is not None


def requeue(
    connection: Connection, one: Watched, why: str, *, answered: bool, max_attempts: int
) -> str | None:
    """Let the job ask anew; its new status, None when it is not waiting for this request.

    ``answered`` counts as an attempt, so that a model which never gives the answer ends.
    """
    return connection.execute(
        text(sql.load("jobs/requeue")),
        {
            "challenge_id": one.challenge_id,
            "task_id": one.task_id,
            "why": why,
            "answered": answered,
            "max_attempts": max_attempts,
        },
    ).scalar_one_or_none()
