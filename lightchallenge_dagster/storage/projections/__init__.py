"""Tables that follow from the stored logs, recomputed for the keys that changed.

Each projection is one SQL statement in ``sql/index/``: a fold of the logs of the touched keys, in
(block, transaction, log) order, over the row as it was before the indexer first wrote it. So a
reorg is: touch, delete the orphaned logs, touch what came instead, recompute; and a rebuild is:
touch everything, recompute. Neither needs the chain.

Touched keys are collected in a temporary table of the open transaction (``begin``), by block
range (``touch``) or for a whole table (``touch_all``), and used up by ``recompute``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, text

from lightchallenge_dagster.storage.bulk import stage
from lightchallenge_dagster.storage.sql import load

PROJECTIONS: dict[str, str] = {
    "chain_challenges": "pipeline.chain_challenges",
    "stakes": "pipeline.stakes",
    "chain_winners": "pipeline.chain_winners",
    "bindings": "pipeline.bindings",
    "inference_requests": "pipeline.inference_requests",
    "challenges": "public.challenges",
    "participants": "public.participants",
    "claims": "public.claims",
    "achievement_mints": "public.achievement_mints",
    "aivm_jobs": "public.aivm_jobs",
}
"""Projection -> its table, in the order they are computed: participants follow from stakes, job
states from inference_requests."""

_MANY = 1000

_OWN_ROWS = {
    "chain_challenges": "insert into touched_logs (event, challenge_id, orphaned)"
    " select 'ChallengePay.ChallengeCreated', challenge_id, true from pipeline.chain_challenges",
    "stakes": "insert into touched_logs (event, challenge_id, account, orphaned)"
    " select 'ChallengePay.Joined', challenge_id, subject, true from pipeline.stakes",
    "chain_winners": "insert into touched_logs (event, challenge_id, account, orphaned)"
    " select 'ChallengePay.WinnerMarked', challenge_id, subject, true"
    " from pipeline.chain_winners",
    "bindings": "insert into touched_logs (event, challenge_id, account, orphaned)"
    " select 'ChallengeTaskRegistry.BindingCleared', challenge_id, subject, true"
    " from pipeline.bindings",
    "inference_requests": "insert into touched_logs (event, request_id, task_id, orphaned)"
    " select 'AIVMInferenceV2.InferenceRequestedV2', request_id, task_id, true"
    " from pipeline.inference_requests",
}


def begin(connection: Connection) -> None:
    """Make the transaction's empty set of touched keys."""
    stage(
        connection,
        "touched_logs",
        "event text, challenge_id bigint, account text, request_id numeric(78, 0),"
        " task_id text, token_id text, orphaned boolean not null",
    )


def touch(connection: Connection, chain_id: int, first: int, last: int, *, orphaned: bool) -> None:
    """Remember the keys of the logs stored for these blocks.

    Before they are deleted with ``orphaned``, after they came without.
    """
    connection.execute(
        text(load("index/touch_range")),
        {"chain_id": chain_id, "first": first, "last": last, "orphaned": orphaned},
    )


def touch_all(connection: Connection, chain_id: int, projection: str) -> None:
    """Remember the keys of every stored log, and of every row this projection ever wrote."""
    touch(connection, chain_id, 0, 2**63 - 1, orphaned=True)
    if projection in _OWN_ROWS:
        connection.execute(text(_OWN_ROWS[projection]))
    else:
        connection.execute(text(load("index/touch_adopted")), {"table_name": projection})


def jobs_behind(connection: Connection) -> bool:
    """Whether a job on its way is not where its request is (``index/aivm_jobs`` moves it)."""
    return connection.execute(text(load("index/jobs_behind"))).scalar_one()


def recompute(
    connection: Connection,
    chain_id: int,
    start_block: int,
    projections: Iterable[str] = tuple(PROJECTIONS),
) -> dict[str, int]:
    """Bring every projection in line with the logs, for the touched keys; rows changed by table.

    ``start_block`` is the first block ever indexed: what a claim or participant row of before
    says about earlier blocks is kept.
    """
    touched = connection.execute(text("select count(*) from touched_logs")).scalar_one()
    connection.execute(text("analyze touched_logs"))
    if touched >= _MANY:
        # The planner takes rows that this transaction brought for none, and loops over them.
        connection.execute(text("analyze pipeline.chain_logs"))
    wanted = set(projections)
    parameters = {"chain_id": chain_id, "start_block": start_block}
    changed: dict[str, int] = {}
    for projection in PROJECTIONS:
        if projection in wanted:
            changed[projection] = _run(connection, f"index/{projection}", parameters)
    return changed


def sync_jobs(connection: Connection, chain_id: int) -> int:
    """Bring job states in line with the requests they wait for, without any new log.

    For whoever has just noted a job's task: its events may have been indexed before. Returns the
    number of jobs moved. Needs a transaction in which ``begin`` was not called.
    """
    begin(connection)
    moved = _run(connection, "index/aivm_jobs", {"chain_id": chain_id, "start_block": 0})
    connection.execute(text("drop table touched_logs"))
    return moved


def _run(connection: Connection, name: str, parameters: dict[str, Any]) -> int:
    sql = load(name)
    used = {key: value for key, value in parameters.items() if f":{key}" in sql}
    return connection.execute(text(sql), used).scalar_one()
