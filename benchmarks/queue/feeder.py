"""The dispatcher: queues a job each moment, at a steady rate."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.common import Progress
from benchmarks.queue import gate
from lightchallenge_dagster.storage import jobs
from lightchallenge_dagster.storage.database import connect


def run(arguments: dict[str, Any], tell: Progress) -> dict[str, Any]:
    """Queue ``count`` challenges from ``first`` on, ``rate`` a second, from when the gate opens.

    ``late_s`` is how far it fell behind its own times, at most.
    """
    engine = connect(arguments["database_url"])
    first, count, rate = (int(arguments[name]) for name in ("first", "count", "rate"))
    start, late = gate.passed(engine), 0.0
    for at in range(count):
        due = start + at / rate
        time.sleep(max(0.0, due - time.time()))
        late = max(late, time.time() - due)
        with engine.begin() as connection:
            # A job is there as soon as it is committed; one process could not keep up otherwise.
            connection.exec_driver_sql("set local synchronous_commit = off")
            jobs.queue(connection, [first + at])
        if at % rate == 0:
            tell(at / count, "jobs arrive")
    engine.dispose()
    return {"late_s": late}
