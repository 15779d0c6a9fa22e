"""Put jobs back into the queue whose worker is gone, and others when they are asked for by id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lightchallenge_dagster.storage import ops
from lightchallenge_dagster.storage.ops import StuckJob

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

_GIVEN_UP = ("failed", "dead")


@dataclass(frozen=True, slots=True)
class ResetLine:
    """One job: what it ``was``, what it is ``now``, and why."""

    challenge_id: int
    was: str | None
    attempts: int
    now: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class ResetReport:
    """Challenges whose job was queued again, and each job that was looked at."""

    reset: list[int] = field(default_factory=list[int])
    lines: list[ResetLine] = field(default_factory=list[ResetLine])


def reset_stuck_jobs(
    engine: Engine, minutes: float, challenge_ids: Sequence[int] | None = None
) -> ResetReport:
    """Queue the jobs that hang in ``processing``, in one transaction.

    A job hangs when no worker's claim on it lives and nothing was heard of it for ``minutes``. With
    ``challenge_ids`` only theirs, and failed and dead ones too, with their attempts forgiven. A job
    whose challenge has ended stays.
    """
    report = ResetReport()
    with engine.begin() as connection:
        found = ops.stuck_jobs(connection, minutes, challenge_ids, lock=True)
        report.lines.extend(_reset(connection, job, minutes) for job in found)
    known = {job.challenge_id for job in found}
    report.lines.extend(
        ResetLine(one, None, 0, None, "it has no job")
        for one in sorted(set(challenge_ids or ()) - known)
    )
    report.reset.extend(
        one.challenge_id for one in report.lines if one.now == "queued" and one.was != "queued"
    )
    return report


def _reset(connection: Connection, job: StuckJob, minutes: float) -> ResetLine:
    problem = _problem(job, minutes)
    if problem is not None:
        return ResetLine(job.challenge_id, job.status, job.attempts, job.status, problem)
    if job.status in _GIVEN_UP:
        attempts, note = 0, job.last_error
        reason = f"asked for; {job.attempts} attempts forgiven"
    else:
        attempts = job.attempts
        reason = f"its worker is gone{f': {job.worker}' if job.worker else ''}"
        note = reason
    ops.requeue(connection, job.challenge_id, attempts=attempts, note=note)
    return ResetLine(job.challenge_id, job.status, attempts, "queued", reason)


def _problem(job: StuckJob, minutes: float) -> str | None:
    if job.status not in (*_GIVEN_UP, "processing"):
        return f"it is {job.status}: there is nothing to reset"
    if job.ended:
        return "its challenge has ended: run cancel_terminal_jobs"
    if job.status in _GIVEN_UP:
        return None
    if job.working:
        return f"a worker is at it: {job.worker}"
    return None if job.silent else f"it was heard of less than {minutes:g} minutes ago"
