"""What `make bench-queue` measured, as tables for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.queue.parts import WORKERS
from benchmarks.tables import Bar, bars_table, moment, show_surroundings, table

CLAIMS_AIM = 1_000.0
WAIT_AIM_MS = 100.0


def bars(results: Mapping[str, Any]) -> list[Bar]:
    """What is hoped for; the issue asks for the figures and names no number."""
    found: list[Bar] = []
    for run in results.get("drain", {"runs": []})["runs"]:
        if run["batch"] > 1 and not run["complete"]:
            rate = per_second(run)
            name = (
                f"claims with {WORKERS} workers, {run['backlog']:,} due, batches of {run['batch']}"
            )
            wanted = f"at least {CLAIMS_AIM:,.0f}/s"
            found.append(Bar(name, wanted, f"{rate:,.0f}/s", rate >= CLAIMS_AIM, aim=True))
    if arrivals := results.get("arrivals"):
        for run in arrivals["runs"]:
            wait = run["wait_ms"]["p95"]
            name = f"p95 from queued to claimed, {arrivals['rate']}/s, {run['waiting']:,} waiting"
            wanted = f"at most {WAIT_AIM_MS:g} ms"
            met = wait <= WAIT_AIM_MS and run["reached"] == run["arrived"]
            found.append(Bar(name, wanted, f"{wait:,.1f} ms", met, aim=True))
    return found


def per_second(run: Mapping[str, Any]) -> float:
    return run["claimed"] / run["seconds"] if run["claimed"] else 0.0


def show(console: Console, results: Mapping[str, Any]) -> None:
    """Print everything that was measured."""
    show_surroundings(console, results)
    if drain := results.get("drain"):
        console.print(_drain_table(drain), moment(drain))
        console.print(
            f"Each side began with the whole backlog and had {drain['seconds']:g} s at most."
            " A batch leaves the queue by one statement; completed: each job is written down as"
            " submitted in a transaction of its own, as steps.request does. Then its claims are"
            " given back."
        )
    if arrivals := results.get("arrivals"):
        console.print(_arrivals_table(arrivals), moment(arrivals))
        console.print(
            f"{arrivals['rate']} jobs a second for {arrivals['seconds']:g} s; {WORKERS} workers"
            " claim up to 20 and complete them, and ask again after 50 ms when there is nothing."
            " Those that wait are older, and wait for a retry time."
        )
    console.print(bars_table(bars(results)))


def _drain_table(drain: Mapping[str, Any]) -> Table:
    made = table(
        f"Claims, {WORKERS} workers",
        "due jobs, batch",
        "jobs/s",
        "claims made",
        "s",
        "calls",
        "p50 ms a call",
        "p95 ms",
        "fewest by one",
    )
    for run in drain["runs"]:
        done = ", completed" if run["complete"] else ""
        made.add_row(
            f"{run['backlog']:,} due, batches of {run['batch']}{done}",
            f"{per_second(run):,.0f}",
            f"{run['claimed']:,}",
            f"{run['seconds']:.1f}",
            f"{run['calls']:,}",
            f"{run['call_ms']['p50']:.1f}",
            f"{run['call_ms']['p95']:.1f}",
            f"{min(run['shares']):,}",
        )
    return made


def _arrivals_table(arrivals: Mapping[str, Any]) -> Table:
    made = table(
        "From queued to claimed",
        "jobs that wait",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "max ms",
        "claimed of arrived",
        "p50 ms a call",
        "feeder late s",
    )
    for run in arrivals["runs"]:
        waits = run["wait_ms"]
        made.add_row(
            f"{run['waiting']:,}",
            *(f"{waits[name]:,.1f}" for name in ("p50", "p95", "p99", "max")),
            f"{run['reached']:,} of {run['arrived']:,}",
            f"{run['call_ms']['p50']:.1f}",
            f"{run['late_s']:.2f}",
        )
    return made
