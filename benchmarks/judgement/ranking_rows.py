"""A database in which a day's competitive challenges are judged and wait to be ranked."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from sqlalchemy import text

from benchmarks.common import ChildFailed, Progress
from benchmarks.judgement import challenges, order_rows
from benchmarks.judgement.made_up import CHAIN_ID, DEADLINE, ENDS, HASH, STARTS, hexes
from lightchallenge_dagster.rules.challenge import parse_config
from lightchallenge_dagster.rules.evaluation import Evidence, evaluate
from lightchallenge_dagster.steps import judge
from lightchallenge_dagster.storage import frames, sql
from lightchallenge_dagster.storage.database import connect

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

_AT_ONCE = 100_000
_KM = 12.34

# As the judge leaves them, by its own query: nothing is pending, so that a ranking only ranks.
_JUDGEMENTS = """
insert into pipeline.judgements (challenge_id, subject, inputs_hash, final_when, submitted_at)
select i.challenge_id, i.subject, i.inputs_hash, 'proof_deadline', e.created_at
  from ({pending}) i
  join public.evidence e on e.id = i.evidence_ids[1]
"""


def rule(top_n: int) -> dict[str, Any]:
    """``proof.params`` of a challenge for the most kilometres run."""
    return {
        "rule": {
            "challengeType": "run",
            "period": {"start": STARTS.isoformat(), "end": ENDS.isoformat(), "timezone": "UTC"},
            "mode": "competitive",
            "topN": top_n,
            "competitiveMetric": "distance_km",
        }
    }


def fill(engine: Engine, seed: int, count: int, challenge_count: int, progress: Progress) -> None:
    """Fill a migrated database with so many verdicts, and all that a ranking of them needs."""
    made = order_rows.rows(seed, count, challenge_count).sort("challenge_id", "subject")
    top_n = dict(made.select("challenge_id", "top_n").unique().iter_rows())
    rules = {challenge_id: rule(number) for challenge_id, number in sorted(top_n.items())}
    challenges.fill(engine, rules)
    random = np.random.default_rng(seed)
    with engine.begin() as connection:
        frames.roomy(connection)
        for start in range(0, count, _AT_ONCE):
            progress(0.8 * start / count, "filling the database")
            part = made.slice(start, _AT_ONCE)
            _fill_part(connection, part.with_columns(evidence_hash=hexes(random, part.height, 32)))
        progress(0.8, "filling the database: judgements")
        nothing = {"partition_key": None, "challenge_ids": None, "until": None, "everything": False}
        connection.execute(text(_JUDGEMENTS.format(pending=sql.load("judge/pending"))), nothing)
    challenges.settle_down(engine)
    if waiting := judge.pending(engine):
        raise ChildFailed(f"the made-up verdicts would be judged again: {waiting}")


def _fill_part(connection: Connection, rows: pl.DataFrame) -> None:
    key = ("challenge_id", "subject")
    constant = pl.DataFrame({"amount_wei": [10**18], "joined_ts": [0], "tx_hash": [HASH]})
    frames.write(connection, "pipeline.stakes", rows.select(key).join(constant, how="cross"))
    score = pl.col("cents").cast(pl.Decimal(38, 2)) / 100
    scored = rows.with_columns(
        score.alias("score"),
        score.cast(pl.String).str.strip_chars_end("0").str.strip_chars_end(".").alias("km"),
    )
    times = (pl.col("created_at"), pl.col("created_at").alias("updated_at"))
    frames.write(
        connection,
        "public.evidence",
        scored.select(
            *key,
            pl.lit("strava").alias("provider"),
            _filled_in(json.dumps([_run()])).alias("data"),
            "evidence_hash",
            *times,
        ),
    )
    frames.write(
        connection,
        "public.verdicts",
        scored.select(
            *key,
            pl.lit("true").alias("pass"),
            pl.lit("{}").alias("reasons"),
            "evidence_hash",
            pl.lit("fitness").alias("evaluator"),
            "score",
            _filled_in(_metadata()).alias("metadata"),
            *times,
        ),
    )


def _run() -> dict[str, Any]:
    start = datetime(2026, 3, 2, 8, tzinfo=UTC)
    return {
        "type": "run",
        "activity_id": "run-2",
        "start": start.isoformat(),
        "end": (start + timedelta(hours=1)).isoformat(),
        "distance_km": _KM,
        "duration_min": 60,
    }


def _metadata() -> str:
    """What the evaluator says of one run, as JSON."""
    times = {
        "startsAt": int(STARTS.timestamp()),
        "endsAt": int(ENDS.timestamp()),
        "proofDeadline": int(DEADLINE.timestamp()),
    }
    config = parse_config(None, {"params": rule(1)}, times)
    return json.dumps(evaluate([Evidence("strava", [_run()], HASH, STARTS)], config).metadata)


def _filled_in(sample: str) -> pl.Expr:
    """The sample's text with each row's own kilometres and evidence hash."""
    columns = {str(_KM): pl.col("km"), HASH: pl.col("evidence_hash")}
    parts = re.split(f"({_KM}|{HASH})", sample)
    return pl.concat_str(columns.get(part, pl.lit(part)) for part in parts)


def run(arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """In a child: fill ``database_url``."""
    engine = connect(arguments["database_url"])
    fill(engine, arguments["seed"], arguments["rows"], arguments["challenges"], progress)
    engine.dispose()
    return {"chain_id": CHAIN_ID}
