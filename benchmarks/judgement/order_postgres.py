"""Rank the same rows by PostgreSQL's window function; loading them is not counted."""

from __future__ import annotations

from typing import Any, LiteralString

import polars as pl
import psycopg
from psycopg import sql

from benchmarks.common import Progress
from benchmarks.judgement.order_check import NAMES, PRIMES, WALLET_DIGITS
from benchmarks.watch import watching

GENEROUS = "4GB"
_AT_ONCE = 500_000

_TABLE = """
create unlogged table public.to_rank (
    challenge_id bigint not null, subject text collate "C" not null, score numeric not null,
    created_at timestamptz not null, top_n integer not null)
"""
_RANKED = """
select challenge_id, subject, rank, rank <= top_n and score > 0 as winner
  from (select *, row_number() over (partition by challenge_id
                                     order by score desc, created_at, subject) as rank
          from public.to_rank) numbered
"""
# Every row is ranked and looked at, and none is sent: transfer is not what is measured.
_TIMED = sql.SQL("select count(*), sum(rank), count(*) filter (where winner) from ({}) r").format(
    sql.SQL(_RANKED)
)
_CHECKED = sql.SQL("""
    select count(*), count(*) filter (where winner), sum(wallet * challenge * (rank % {ranks})),
           sum(wallet * challenge) filter (where winner)
      from (select rank, winner, challenge_id % {challenges} as challenge,
                   ('x' || lpad(substr(subject, 3, {digits}), 16, '0'))::bit(64)::bigint
                   % {wallets} as wallet
              from ({ranked}) r) numbers
""").format(
    ranked=sql.SQL(_RANKED),
    digits=WALLET_DIGITS,
    **dict(zip(("wallets", "challenges", "ranks"), PRIMES, strict=True)),
)


def _load(connection: psycopg.Connection[Any], rows: pl.DataFrame, progress: Progress) -> None:
    connection.execute(_TABLE)
    command = "copy public.to_rank (challenge_id, subject, score, created_at, top_n) from stdin csv"
    score = (pl.col("cents").cast(pl.Decimal(38, 2)) / 100).alias("score")
    with connection.cursor() as cursor, cursor.copy(command) as copy:
        for start in range(0, rows.height, _AT_ONCE):
            progress(0.3 * start / rows.height, "loading PostgreSQL")
            part = rows.slice(start, _AT_ONCE).select(
                "challenge_id", "subject", score, "created_at", "top_n"
            )
            copy.write(part.write_csv(include_header=False, datetime_format="%+"))
    connection.execute("vacuum analyze public.to_rank")


def run(arguments: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """In a child: rank the rows in the file ``path``, with little and with generous ``work_mem``.

    The faster of the two counts.
    """
    url = arguments["database_url"]
    with psycopg.connect(url, autocommit=True) as connection:
        _load(connection, pl.read_parquet(arguments["path"]), progress)
        runs: dict[str, Any] = {}
        settings = {_first(connection, "show work_mem"): None, GENEROUS: GENEROUS}
        for at, (name, work_mem) in enumerate(settings.items()):
            progress(0.3 + 0.25 * at, f"PostgreSQL, work_mem {name}")
            if work_mem is not None:
                connection.execute("select set_config('work_mem', %s, false)", [work_mem])
            with watching(url) as spent:
                connection.execute(_TIMED).fetchone()
            plan = connection.execute(sql.SQL("explain (costs off) {}").format(_TIMED))
            runs[name] = {
                "seconds": spent.seconds,
                "seconds_cpu": spent.cpu_postgres,
                "peak_memory": spent.memory_postgres,
                "plan": [str(line) for (line,) in plan],
            }
        progress(0.8, "PostgreSQL, checking")
        sums = connection.execute(_CHECKED).fetchone()
    assert sums is not None
    best = min(runs, key=lambda name: runs[name]["seconds"])
    return {
        "runs": runs,
        "counts": best,
        "seconds": runs[best]["seconds"],
        "check": {name: int(value or 0) for name, value in zip(NAMES, sums, strict=True)},
    }


def _first(connection: psycopg.Connection[Any], query: LiteralString) -> str:
    cursor: psycopg.Cursor[tuple[Any, ...]] = connection.execute(query)
    row = cursor.fetchone()
    assert row is not None
    return str(row[0])
