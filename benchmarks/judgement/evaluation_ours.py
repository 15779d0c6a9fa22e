"""Judge a day's evidence from table to table as production does, in one process or in several."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import psycopg

from benchmarks.common import ChildFailed, Progress, forget_peak
from benchmarks.judgement.evaluation_check import VERDICTS
from benchmarks.judgement.made_up import CLOSED, PARTITION
from benchmarks.stages import Places, Stages
from benchmarks.watch import watching
from lightchallenge_dagster.steps import judge
from lightchallenge_dagster.storage.database import connect

STAGES: Places = {
    "find what is pending": ("storage.verdicts:pending",),
    "read evidence and rules": (
        "storage.verdicts:evidence",
        "storage.verdicts:history",
        "storage.plans:configurations",
    ),
    "parse and evaluate": ("steps.judging:judge_chunk",),
    "store": ("storage.verdicts:store",),
}


def run(arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """In a child: judge ``database_url`` with so many ``processes``."""
    url, processes = arguments["database_url"], arguments["processes"]
    progress(0.0, f"ours, {processes} at work")
    engine, stages = connect(url), Stages()
    forget_peak()
    with stages.watching(STAGES), watching(url) as spent:
        step = stages.timed("waiting for workers, commit, the rest", judge.judge)
        report = step(engine, PARTITION, CLOSED, processes=processes)
    if not report.read == report.judged == report.inserted:
        raise ChildFailed(f"not every row of evidence gave a verdict: {report}")
    engine.dispose()
    with psycopg.connect(url) as connection:
        verdicts = connection.execute(VERDICTS, (arguments["slice"],)).fetchone()
    return {
        "rows": report.read,
        "passed": report.passed,
        "stages": stages.seconds,
        "verdicts": verdicts,
        **asdict(spent),
    }
