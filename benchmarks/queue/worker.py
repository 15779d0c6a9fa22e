"""One worker: claims batches until none is left or its time is over, and completes what it got."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Engine

from benchmarks.common import Progress
from benchmarks.queue import gate
from lightchallenge_dagster.storage import jobs, queue
from lightchallenge_dagster.storage.database import connect
from lightchallenge_dagster.storage.queue import Claim

LEASE_S = 120.0
POLL_S = 0.05


def run(arguments: dict[str, Any], tell: Progress) -> dict[str, Any]:
    """Work for ``seconds`` in batches of ``batch``, from when the gate opens.

    ``complete``: write each job down as submitted, in a transaction of its own, and give the claims
    back, as ``steps.request`` does; else a batch leaves the queue by one statement. ``poll``: go on
    asking, twenty times a second, when there is nothing to do; else end.
    """
    engine = connect(arguments["database_url"])
    batch, name = int(arguments["batch"]), str(arguments["name"])
    calls: list[float] = []
    spent = {"claim": 0.0, "complete": 0.0, "idle": 0.0}
    began = ended = gate.passed(engine)
    taken = 0
    while time.time() < began + arguments["seconds"]:
        asked = time.perf_counter()
        with engine.begin() as connection:
            claims = queue.claim(connection, name, batch=batch, lease_s=LEASE_S)
        claimed = time.perf_counter()
        calls.append(claimed - asked)
        spent["claim"] += claimed - asked
        taken += len(claims)
        if claims:
            (_complete if arguments["complete"] else _strike)(engine, claims)
            spent["complete"] += time.perf_counter() - claimed
            ended = time.time()
        elif arguments["poll"]:
            time.sleep(POLL_S)
            spent["idle"] += time.perf_counter() - claimed
        elif _nothing_due(engine):
            break
    engine.dispose()
    return {
        "claimed": taken,
        "calls": len(calls),
        "call_ms": sorted(1000 * one for one in calls),
        "spent": spent,
        "began": began,
        "ended": ended,
    }


def _complete(engine: Engine, claims: list[Claim]) -> None:
    for claim in claims:
        with engine.begin() as connection:
            queue.hold(connection, claim)
            jobs.record_submitted(
                connection,
                claim.challenge_id,
                request_id=claim.challenge_id,
                task_id=f"0x{claim.challenge_id:064x}",
                tx_hash=f"0x{claim.challenge_id:064x}",
                worker=f"0x{1:040x}",
            )
    with engine.begin() as connection:
        queue.release(connection, claims)


def _strike(engine: Engine, claims: list[Claim]) -> None:
    with engine.begin() as connection:
        jobs.cancel(connection, [claim.challenge_id for claim in claims], "measured")
        queue.release(connection, claims)


def _nothing_due(engine: Engine) -> bool:
    """A claim can come back empty because others were quicker."""
    with engine.begin() as connection:
        return not queue.due(connection)
