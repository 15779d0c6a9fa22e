"""Sensors that look for work and launch one run for it, or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from dagster import AssetKey, RunRequest, SkipReason

from lightchallenge_dagster.jobs.lease import LAUNCH_TTL_S, NAME_TAG, TOKEN_TAG
from lightchallenge_dagster.storage import leases

if TYPE_CHECKING:
    from sqlalchemy import Engine


@dataclass(frozen=True, slots=True)
class Work:
    """One run's worth of work: what it is, for people, and the lease that makes it one run.

    ``config`` is the run's, by the name of the asset it is for.
    """

    what: str
    lease: str
    partition_key: str | None = None
    selection: Sequence[AssetKey] | None = None
    config: Mapping[str, Mapping[str, Any]] | None = None


def launch(engine: Engine, found: Sequence[Work]) -> list[RunRequest]:
    """A run request for each piece of work that no living run has.

    The lease is taken here and handed to the run by its tags, so that the next tick, seconds later
    and before the run has started, sees it taken. The run key holds the lease's token: each attempt
    has a new one, so Dagster never mistakes a retry for a repetition.
    """
    requests: list[RunRequest] = []
    for work in found:
        with engine.begin() as connection:
            # A holder may retake its own living lease; a tick must not, so no two share a name.
            token = leases.acquire(connection, work.lease, f"tick {uuid4()}", LAUNCH_TTL_S)
        if token is None:
            continue
        requests.append(
            RunRequest(
                run_key=f"{work.lease}#{token}",
                partition_key=work.partition_key,
                asset_selection=work.selection,
                run_config=_run_config(work.config or {}),
                tags={
                    NAME_TAG: work.lease,
                    TOKEN_TAG: str(token),
                    "lightchallenge/work": work.what[:200],
                },
            )
        )
    return requests


def _run_config(config: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    ops = {name: {"config": dict(of_op)} for name, of_op in config.items()}
    return {"ops": ops} if ops else None


def requests_or_reason(
    engine: Engine, found: Sequence[Work], *, idle: str
) -> list[RunRequest] | SkipReason:
    """Run requests for what was found, or the reason for none, as the UI shows it."""
    if not found:
        return SkipReason(idle)
    requests = launch(engine, found)
    if requests:
        return requests
    return SkipReason("in flight: " + "; ".join(work.what for work in found))
