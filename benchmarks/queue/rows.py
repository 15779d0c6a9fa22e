"""Jobs to be claimed, and jobs that wait, made in bulk."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text

from benchmarks.common import Progress
from lightchallenge_dagster.storage.database import connect

CHAIN_ID = 504
FAR = 2**40
"""A proof deadline that never comes."""

_CHALLENGES = text("""
    insert into public.challenges (id, title, subject, status, proof, created_at, updated_at)
    select id, 'Challenge ' || id, '0x' || lpad(to_hex(id), 40, '0'), 'Active',
           jsonb_build_object('modelId', 'strava.distance@1', 'backend', 'lightchain_poi',
                              'params', jsonb_build_object('km', id)),
           now(), now()
      from generate_series(cast(:first as bigint), :last) id
""")
_ON_CHAIN = text("""
    insert into pipeline.chain_challenges
        (challenge_id, chain_id, creator, kind, currency, token, stake_wei, join_closes_ts,
         start_ts, end_ts, proof_deadline_ts, max_participants, verifier, external_id, status,
         created_block, created_tx)
    select id, :chain_id, '0x' || lpad(to_hex(id), 40, '0'), 0, 0, '0x' || repeat('0', 40), 1,
           1, 1, 2, :far, 0, '0x' || repeat('a', 40), '0x' || repeat('1', 64), 'Active', 1,
           '0x' || repeat('1', 64)
      from generate_series(cast(:first as bigint), :last) id
""")
_JOBS = text("""
    insert into public.aivm_jobs (challenge_id, status, attempts, created_at)
    select id, 'queued', 0, now() - make_interval(secs => :last - id)
      from generate_series(cast(:first as bigint), :last) id
""")
_REFUSED = text("""
    insert into pipeline.intents
        (key, chain_id, kind, challenge_id, signer, to_address, data, status, retry_at)
    select concat('request\\:', id, '\\:1'), :chain_id, 'request', id, '0x' || repeat('b', 40),
           '0x' || repeat('c', 40), '0x', 'refused', now() + interval '1 day'
      from generate_series(cast(:first as bigint), :last) id
""")


def run(arguments: dict[str, Any], tell: Progress) -> dict[str, Any]:
    """Write challenges and jobs.

    ``waiting`` jobs are the oldest and wait for a retry time, ``due`` ones come next; ``blank``
    challenges, the last, have no job yet. All numbers are consecutive from 1.
    """
    waiting, due, blank = (int(arguments[name]) for name in ("waiting", "due", "blank"))
    engine = connect(arguments["database_url"])
    tell(0.0, f"{waiting + due + blank:,} challenges")
    with engine.begin() as connection:
        _make(connection, _CHALLENGES, 1, waiting + due + blank)
        _make(connection, _ON_CHAIN, 1, waiting + due + blank)
        tell(0.6, "jobs")
        _make(connection, _JOBS, 1, waiting + due)
        _make(connection, _REFUSED, 1, waiting)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("vacuum analyze"))
    engine.dispose()
    return {"jobs": waiting + due}


def _make(connection: Connection, statement: Any, first: int, last: int) -> None:
    values = {"first": first, "last": last, "chain_id": CHAIN_ID, "far": FAR}
    named = {name: values[name] for name in values if f":{name}" in str(statement)}
    connection.execute(statement, named)
