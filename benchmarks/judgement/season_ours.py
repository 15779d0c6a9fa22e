"""A season's standings from table to table as production computes them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from benchmarks.common import ChildFailed, Progress, forget_peak, peak_memory
from benchmarks.stages import Places, Stages
from benchmarks.watch import watching
from lightchallenge_dagster.steps import standings
from lightchallenge_dagster.storage.database import connect

if TYPE_CHECKING:
    from sqlalchemy import Engine

STAGES: Places = {
    "fingerprint": ("storage.standings:fingerprints",),
    "read": ("storage.standings:inputs",),
    "results": ("steps.standings:_results",),
    "points": ("rules.standings:standings", "rules.standings:refuse_unconserved"),
    "write": ("storage.standings:replace",),
}
_TABLE = text("""
    select md5(string_agg(concat_ws(' ', wallet, points, wins, losses, draws,
                                    competitions_entered), ','
                          order by points desc, wins desc, losses, wallet collate "C"))
      from public.season_standings
""")


def _compute(engine: Engine, url: str, season_id: str) -> dict[str, Any]:
    stages = Stages()
    with stages.watching(STAGES), watching(url) as spent:
        report = stages.timed("commit, the rest", standings.compute)(engine, season_id)
    if report.problem:
        raise ChildFailed(f"the made-up season cannot be scored: {report.problem}")
    return {**asdict(report), "stages": stages.seconds, **asdict(spent)}


def run(arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """In a child: compute ``season_id`` in ``database_url``, then once more unchanged."""
    url = arguments["database_url"]
    engine = connect(url)
    forget_peak()
    passes: dict[str, Any] = {}
    for at, name in enumerate(("first", "unchanged")):
        progress(at / 2, f"ours: {name}")
        passes[name] = _compute(engine, url, arguments["season_id"])
    memory = peak_memory()
    with engine.connect() as connection:
        table = connection.execute(_TABLE).scalar_one()
    engine.dispose()
    return {
        "passes": passes,
        "seconds": passes["first"]["seconds"],
        "peak_memory": memory,
        "table": table,
    }
