"""Rank a day's challenges from table to table as production does, and tell where the time goes."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from benchmarks.common import ChildFailed, Progress, forget_peak, peak_memory
from benchmarks.judgement.made_up import CLOSED, ENDS, PARTITION
from benchmarks.stages import Places, Stages
from benchmarks.watch import watching
from lightchallenge_dagster.steps import rank
from lightchallenge_dagster.storage.database import connect

if TYPE_CHECKING:
    from sqlalchemy import Engine

STAGES: Places = {
    "read: what is open": ("storage.rankings:open_rankings", "storage.rankings:hashes"),
    "read: candidates": ("storage.rankings:candidates",),
    "read: lost evidence": ("storage.rankings:unproved",),
    "rank": (
        "rules.ranking:unrankable",
        "rules.ranking:exact_scores",
        "rules.ranking:rank",
        "rules.ranking:not_conserved",
    ),
    "write": ("storage.rankings:save", "storage.rankings:remember"),
    "mirror to verdicts": ("storage.rankings:mirror",),
    "judge what closes": ("storage.verdicts:pending",),
    "verify what is settled": (
        "steps.rank:_verify",
        "storage.rankings:settled",
        "storage.rankings:unsound",
    ),
}
_WINNERS = text("""
    select count(*), md5(string_agg(challenge_id || ' ' || subject, ','
                                    order by challenge_id, subject collate "C"))
      from public.rankings where winner
""")
_MIRRORED = text("""
    select count(*), md5(string_agg(challenge_id || ' ' || subject, ','
                                    order by challenge_id, subject collate "C"))
      from public.verdicts where pass
""")


def _pass(engine: Engine, url: str, chain_now: datetime) -> dict[str, Any]:
    """One ranking of the day: what it did and took."""
    stages = Stages()
    with stages.watching(STAGES), watching(url) as spent:
        report = stages.timed("commit, the rest", rank.rank)(engine, PARTITION, chain_now)
    if report.quarantined or report.mismatched or report.judged:
        raise ChildFailed(f"the made-up rows are not sound: {report}")
    done = asdict(report)
    return {
        **{name: done[name] for name in ("challenges", "ranked", "winners", "mirrored")},
        "written": report.inserted + report.changed + report.removed,
        "closed": len(report.closed),
        "verified": report.verified,
        "stages": stages.seconds,
        **asdict(spent),
    }


def run(arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """In a child: rank ``database_url`` while it is provisional, then close, each once more."""
    url = arguments["database_url"]
    engine = connect(url)
    forget_peak()
    passes: dict[str, Any] = {}
    moments = {"first": ENDS, "unchanged": ENDS, "closing": CLOSED, "settled": CLOSED}
    for at, (name, chain_now) in enumerate(moments.items()):
        progress(at / len(moments), f"ours: {name}")
        passes[name] = _pass(engine, url, chain_now)
    memory = peak_memory()
    with engine.connect() as connection:
        winners = tuple(connection.execute(_WINNERS).one())
        if tuple(connection.execute(_MIRRORED).one()) != winners:
            raise ChildFailed("the verdicts do not say what the rankings do")
    engine.dispose()
    return {
        "passes": passes,
        "seconds": passes["first"]["seconds"],
        "peak_memory": memory,
        "winners": winners,
    }
