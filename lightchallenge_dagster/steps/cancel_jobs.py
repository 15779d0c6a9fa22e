"""Cancel the AIVM jobs of challenges that ended before anything was requested for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lightchallenge_dagster.storage import jobs

if TYPE_CHECKING:
    from sqlalchemy import Engine

REASON = "the challenge ended before its request was sent"


@dataclass(frozen=True, slots=True)
class CancelReport:
    """The challenges whose job was canceled."""

    canceled: list[int] = field(default_factory=list[int])


def cancelable(engine: Engine) -> list[int]:
    """Challenges whose job is to be canceled (one cheap query)."""
    with engine.begin() as connection:
        return jobs.terminal(connection)


def cancel_jobs(engine: Engine) -> CancelReport:
    """Cancel every queued, failed or processing job of a challenge that is terminal.

    A job that has sent its request goes on: the network answers it all the same.
    """
    with engine.begin() as connection:
        found = jobs.terminal(connection)
        return CancelReport(jobs.cancel(connection, found, REASON) if found else [])
