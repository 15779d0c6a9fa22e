"""The parts of `make bench-queue`: databases filled, four workers, each a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import text

from benchmarks.common import ChildFailed, Databases, Progress, in_child, scaled
from benchmarks.queue import gate
from lightchallenge_dagster.storage.database import connect

WORKERS = 4
BATCHES = (1, 20)
LINGER_S = 3.0
"""So long workers go on after the last job arrived."""

STARTING_S = 60.0
"""So long processes may take to come up before the work begins, together."""


def drain(
    databases: Databases, backlogs: Sequence[int], seconds: float, progress: Progress
) -> dict[str, Any]:
    """Claims per second while so many jobs are due: the queue alone, and with what is written."""
    runs: list[dict[str, Any]] = []
    for at, backlog in enumerate(backlogs):
        within = scaled(progress, at / len(backlogs), (at + 1) / len(backlogs), f"{backlog:,} due:")

        def fill(url: str, due: int = backlog, within: Progress = within) -> None:
            _fill(url, due=due, progress=scaled(within, 0.0, 0.2, ""))

        with databases.filled(fill) as copy:
            sides = [(batch, complete) for batch in BATCHES for complete in (False, True)]
            for side, (batch, complete) in enumerate(sides):
                share = 0.2 + 0.8 * side / len(sides), 0.2 + 0.8 * (side + 1) / len(sides)
                label = f"batches of {batch}{', completed' if complete else ''}"
                with copy() as url:
                    scaled(within, *share, label)(0.0, "")
                    plan = {"batch": batch, "seconds": seconds, "complete": complete}
                    found, _ = _together(url, [{**plan, "poll": False}] * WORKERS)
                    _check(url, found["claimed"])
                runs.append({"backlog": backlog, "batch": batch, "complete": complete, **found})
    return {"seconds": seconds, "runs": runs}


def arrivals(
    databases: Databases, waiting: Sequence[int], rate: int, seconds: float, progress: Progress
) -> dict[str, Any]:
    """From queued to claimed, while jobs arrive steadily and so many others wait for a retry."""
    runs: list[dict[str, Any]] = []
    for at, backlog in enumerate(waiting):
        share = at / len(waiting), (at + 1) / len(waiting)
        within = scaled(progress, *share, f"{backlog:,} waiting:")
        count = int(rate * seconds)
        with databases.fresh() as url:
            _fill(url, waiting=backlog, blank=count, progress=scaled(within, 0.0, 0.3, ""))
            scaled(within, 0.3, 1.0, "")(0.0, "jobs arrive")
            plan = {"batch": 20, "complete": True, "poll": True, "seconds": seconds + LINGER_S}
            feed = {"first": backlog + 1, "count": count, "rate": rate}
            found, fed = _together(url, [plan] * WORKERS, feed)
            found |= fed or {}
            runs.append({"waiting": backlog, **found, **_latencies(url, backlog, count)})
    return {"rate": rate, "seconds": seconds, "runs": runs}


def _fill(url: str, *, progress: Progress, waiting: int = 0, due: int = 0, blank: int = 0) -> None:
    wanted = {"database_url": url, "waiting": waiting, "due": due, "blank": blank}
    in_child("queue-rows", wanted, progress)


def _together(
    url: str, plans: Sequence[dict[str, Any]], feed: dict[str, Any] | None = None
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Workers, and a feeder, that begin at one moment; what the workers did together, and it."""
    jobs = [
        ("queue-worker", {**plan, "database_url": url, "name": f"worker {number}"})
        for number, plan in enumerate(plans)
    ]
    if feed is not None:
        jobs.append(("queue-feeder", {**feed, "database_url": url}))
    with ThreadPoolExecutor(len(jobs)) as pool:
        with gate.closed(url, len(jobs), STARTING_S):
            running = [pool.submit(in_child, part, wanted, _silent) for part, wanted in jobs]
        done = [one.result() for one in running]
    return _sum(done[: len(plans)]), done[-1] if feed is not None else None


def _silent(_share: float, _what: str) -> None:
    """Many tell at once, so none does."""


def _sum(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    calls = sorted(call for each in found for call in each["call_ms"])
    began = min(each["began"] for each in found)
    return {
        "claimed": sum(each["claimed"] for each in found),
        "seconds": max(each["ended"] for each in found) - began,
        "calls": len(calls),
        "call_ms": {name: _quantile(calls, share) for name, share in QUANTILES.items()},
        "shares": [each["claimed"] for each in found],
        "spent": {what: sum(each["spent"][what] for each in found) for what in found[0]["spent"]},
    }


QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _check(url: str, claimed: int) -> None:
    """Each job was claimed once, by one."""
    engine = connect(url)
    with engine.connect() as connection:
        rows, tokens, gone = connection.execute(
            text("""
                select count(*), coalesce(sum(token), 0),
                       (select count(*) from public.aivm_jobs
                         where status in ('submitted', 'canceled'))
                  from pipeline.job_claims
            """)
        ).one()
    engine.dispose()
    if not rows == tokens == gone == claimed:
        raise ChildFailed(f"{claimed} claims, but {rows} rows, {tokens} tokens, {gone} done")


def _latencies(url: str, waiting: int, count: int) -> dict[str, Any]:
    """Milliseconds from queued to claimed, by the database's clock."""
    engine = connect(url)
    with engine.connect() as connection:
        rows = connection.execute(
            text("""
                select 1000 * extract(epoch from c.claimed_at - j.created_at)
                  from public.aivm_jobs j join pipeline.job_claims c using (challenge_id)
                 where j.challenge_id > :waiting order by 1
            """),
            {"waiting": waiting},
        )
        found = [float(one) for one in rows.scalars()]
    engine.dispose()
    return {
        "arrived": count,
        "reached": len(found),
        "wait_ms": {name: _quantile(found, share) for name, share in QUANTILES.items()},
    }
