"""Judge evidence row by row: select it, evaluate it with our evaluator, upsert its verdict.

Open connection, prepared statements, every challenge's rule parsed once beforehand. It looks for
no second provider, remembers no submission and would overwrite a verdict that money hangs on.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from benchmarks.common import Progress, forget_peak
from benchmarks.judgement.evaluation_check import VERDICTS
from benchmarks.watch import watching
from lightchallenge_dagster.rules.challenge import ChainTimes, ChallengeConfig, parse_config
from lightchallenge_dagster.rules.evaluation import Evidence, evaluate

_CHALLENGES = """
select c.id, c.params, c.proof, c.timeline, k.start_ts, k.end_ts, k.proof_deadline_ts
  from public.challenges c
  left join pipeline.chain_challenges k on k.challenge_id = c.id
"""
_SELECT = """
select challenge_id, lower(subject), provider, data, evidence_hash, created_at
  from public.evidence where id = %s
"""
_UPSERT = """
insert into public.verdicts as v
    (challenge_id, subject, pass, reasons, evidence_hash, evaluator, score, metadata, created_at,
     updated_at)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s, now())
    on conflict (challenge_id, subject) do update
   set pass = excluded.pass, reasons = excluded.reasons, evidence_hash = excluded.evidence_hash,
       evaluator = excluded.evaluator, score = excluded.score, metadata = excluded.metadata,
       updated_at = now()
"""


def _configs(connection: psycopg.Connection[Any]) -> dict[int, ChallengeConfig]:
    return {
        challenge_id: parse_config(params, proof, timeline, ChainTimes(*times))
        for challenge_id, params, proof, timeline, *times in connection.execute(_CHALLENGES)
    }


def _judge(
    cursor: psycopg.Cursor[Any], configs: dict[int, ChallengeConfig], evidence_id: int
) -> None:
    row = cursor.execute(_SELECT, (evidence_id,), prepare=True).fetchone()
    assert row is not None
    challenge_id, subject, *evidence = row
    verdict = evaluate([Evidence(*evidence)], configs[challenge_id])
    values = (
        challenge_id,
        subject,
        verdict.passed,
        list(verdict.reasons),
        verdict.evidence_hash,
        verdict.evaluator,
        verdict.score,
        Jsonb(verdict.metadata),
        evidence[-1],
    )
    cursor.execute(_UPSERT, values, prepare=True)


def run(arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """In a child: judge the first ``slice`` rows of ``database_url``, each statement committed."""
    url = arguments["database_url"]
    with psycopg.connect(url, autocommit=True) as connection:
        configs = _configs(connection)
        found = connection.execute(
            "select id from public.evidence order by id limit %s", (arguments["slice"],)
        )
        ids = [evidence_id for (evidence_id,) in found]
        cursor = connection.cursor()
        forget_peak()
        with watching(url) as spent:
            for at, evidence_id in enumerate(ids):
                if at % max(1, len(ids) // 50) == 0:
                    progress(at / len(ids), "row by row")
                _judge(cursor, configs, evidence_id)
        verdicts = connection.execute(VERDICTS, (arguments["slice"],)).fetchone()
    return {
        "rows": len(ids),
        "seconds": spent.seconds,
        "cpu_ours": spent.cpu_ours,
        "cpu_postgres": spent.cpu_postgres,
        "verdicts": verdicts,
    }
