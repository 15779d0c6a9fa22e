"""The runbook's cancelTerminalJobs, with a look at each job before it is canceled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lightchallenge_dagster.steps.cancel_jobs import cancel_jobs, cancelable
from lightchallenge_dagster.storage import ops
from lightchallenge_dagster.storage.ops import TerminalJob

if TYPE_CHECKING:
    from sqlalchemy import Engine


@dataclass(frozen=True, slots=True)
class TerminalReport:
    """Challenges whose job was canceled, and each job as it was before."""

    canceled: list[int] = field(default_factory=list[int])
    lines: list[TerminalJob] = field(default_factory=list[TerminalJob])


def cancel_terminal_jobs(engine: Engine) -> TerminalReport:
    """Cancel the jobs that have sent nothing and whose challenge has ended.

    Every ``request_inferences`` run does the same; by hand it is for what was there before.
    """
    with engine.begin() as connection:
        before = ops.terminal_jobs(connection, cancelable(engine))
    canceled = cancel_jobs(engine).canceled
    return TerminalReport(canceled, [one for one in before if one.challenge_id in canceled])
