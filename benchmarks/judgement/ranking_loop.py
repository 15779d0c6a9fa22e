"""The runbook's dispatcher, done well: for each challenge select, update winners, update losers.

Open connection, prepared statements, one update for all winners of a challenge and one for all
its losers, each with its rank in the metadata. It breaks ties and leaves scores of 0 out as our
ranking does, so that both find the same winners. It asks for no stake, keeps no ranking beside
the verdict and cannot tell a loser from a failed evaluation afterwards.
"""

from __future__ import annotations

from typing import Any, Literal

import psycopg
from psycopg.types.json import Jsonb

from benchmarks.common import Progress, forget_peak
from benchmarks.watch import watching

Commit = Literal["statement", "challenge"]

_CHALLENGES = """
select id, coalesce((proof #>> '{params,rule,topN}')::int, 1) from public.challenges
 where proof #>> '{params,rule,mode}' = 'competitive' and lower(status) in ('active', 'approved')
 order by id
"""
_SELECT = """
select subject, score from public.verdicts
 where challenge_id = %s and score is not null
 order by score desc, created_at, subject
"""
_UPDATE = """
update public.verdicts v
   set pass = %s, updated_at = now(),
       metadata = coalesce(v.metadata, '{}'::jsonb) || jsonb_build_object('ranking',
                  jsonb_build_object('rank', r.rank, 'winner', %s) || %s::jsonb)
  from unnest(%s::text[], %s::int[]) as r (subject, rank)
 where v.challenge_id = %s and v.subject = r.subject
"""
_WINNERS = """
select count(*), md5(string_agg(challenge_id || ' ' || subject, ','
                                order by challenge_id, subject collate "C"))
  from public.verdicts where pass
"""


def _rank(cursor: psycopg.Cursor[Any], challenge_id: int, top_n: int) -> int:
    ranked = cursor.execute(_SELECT, (challenge_id,), prepare=True).fetchall()
    subjects = [subject for subject, _ in ranked]
    ranks = list(range(1, len(ranked) + 1))
    won = sum(score > 0 for _, score in ranked[:top_n])
    about = Jsonb({"topN": top_n})
    for winner, part in ((True, slice(0, won)), (False, slice(won, None))):
        values = (winner, winner, about, subjects[part], ranks[part], challenge_id)
        cursor.execute(_UPDATE, values, prepare=True)
    return len(ranked)


def rank_all(
    connection: psycopg.Connection[Any], commit: Commit, progress: Progress
) -> tuple[int, int]:
    """Rank every competitive challenge; how many challenges and verdicts that were."""
    connection.autocommit = commit == "statement"
    cursor = connection.cursor()
    challenges = cursor.execute(_CHALLENGES).fetchall()
    rows = 0
    for at, (challenge_id, top_n) in enumerate(challenges):
        rows += _rank(cursor, challenge_id, top_n)
        if commit == "challenge":
            connection.commit()
        if at % max(1, len(challenges) // 50) == 0:
            progress(at / len(challenges), f"a commit a {commit}")
    connection.commit()
    return len(challenges), rows


def run(arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """In a child: rank all of ``database_url``, a ``commit`` a "statement" or "challenge"."""
    url = arguments["database_url"]
    with psycopg.connect(url) as connection:
        forget_peak()
        with watching(url) as spent:
            challenges, rows = rank_all(connection, arguments["commit"], progress)
        winners = connection.execute(_WINNERS).fetchone()
    return {
        "challenges": challenges,
        "rows": rows,
        "seconds": spent.seconds,
        "cpu_ours": spent.cpu_ours,
        "cpu_postgres": spent.cpu_postgres,
        "winners": winners,
    }
