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
from functools import cache
from typing import Any

from sqlalchemy import Connection, TextClause, text

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

_LIFECYCLE = (
    "ChallengePay.ChallengeCreated",
    "ChallengePay.Finalized",
    "ChallengePay.Canceled",
    "ChallengePay.Paused",
)
_STAKED = ("ChallengePay.ChallengeCreated", "ChallengePay.Joined")
_INFERENCE = (
    "AIVMInferenceV2.InferenceRequestedV2",
    "AIVMInferenceV2.InferenceCommitted",
    "AIVMInferenceV2.InferenceRevealed",
    "AIVMInferenceV2.InferenceFinalized",
    "AIVMInferenceV2.PoIAttested",
)

CONCERNS: dict[str, tuple[str, ...]] = {
    "chain_challenges": (*_LIFECYCLE, "ChallengePay.VerificationConfigUpdated"),
    "stakes": _STAKED,
    "chain_winners": ("ChallengePay.WinnerMarked",),
    "bindings": ("ChallengeTaskRegistry.BindingRecorded", "ChallengeTaskRegistry.BindingCleared"),
    "inference_requests": _INFERENCE,
    "challenges": _LIFECYCLE,
    "participants": _STAKED,
    "claims": (
        "ChallengePay.WinnerClaimed",
        "ChallengePay.LoserClaimed",
        "ChallengePay.RefundClaimed",
        "Treasury.ClaimedETH",
        "LegacyChallengePay.PrincipalClaimed",
        "LegacyChallengePay.CashbackClaimed",
        "LegacyChallengePay.ValidatorClaimed",
        "LegacyChallengePay.ValidatorRejectClaimed",
        "LegacyChallengePay.RejectCreatorClaimed",
        "LegacyChallengePay.RejectContributionClaimed",
    ),
    "achievement_mints": (
        "ChallengeAchievement.AchievementMinted",
        "ChallengeAchievement.AdminMinted",
    ),
    "aivm_jobs": _INFERENCE,
}
"""Projection -> the events that change it. A commit without one of them leaves it alone."""

_MANY = 200
_LAST_BLOCK = 2**63 - 1

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
        " task_id text, token_id text, tx_hash text, orphaned boolean not null",
    )
    # To compile a statement that runs for milliseconds takes hundreds of them.
    connection.execute(text("set local jit = off"))


def touch(connection: Connection, chain_id: int, first: int, last: int, *, orphaned: bool) -> None:
    """Remember the keys of the logs stored for these blocks.

    Before they are deleted with ``orphaned``, after they came without.
    """
    events = {event for concerned in CONCERNS.values() for event in concerned}
    _touch(connection, chain_id, first, last, orphaned=orphaned, events=events)


def touch_all(connection: Connection, chain_id: int, projection: str) -> None:
    """Remember the keys of every stored log, and of every row this projection ever wrote."""
    _touch(connection, chain_id, 0, _LAST_BLOCK, orphaned=True, events=CONCERNS[projection])
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
    touched: dict[str, int] = {
        event: count
        for event, count in connection.execute(
            text("select event, count(*) from touched_logs group by event")
        )
    }
    if sum(touched.values()) >= _MANY:
        connection.execute(text("analyze touched_logs"))
    parameters = {"chain_id": chain_id, "start_block": start_block}
    wanted = set(projections)
    changed = {projection: 0 for projection in PROJECTIONS if projection in wanted}
    for projection in changed:
        concerned = not touched.keys().isdisjoint(CONCERNS[projection])
        # A job may also have got its task after the task's events were indexed.
        if concerned or (projection == "aivm_jobs" and jobs_behind(connection)):
            changed[projection] = _run(
                connection,
                f"index/{projection}",
                parameters | {"events": list(CONCERNS[projection])},
            )
    return changed


def sync_jobs(connection: Connection, chain_id: int) -> int:
    """Bring job states in line with the requests they wait for, without any new log.

    For whoever has just noted a job's task: its events may have been indexed before. Returns the
    number of jobs moved. Needs a transaction in which ``begin`` was not called.
    """
    begin(connection)
    moved = recompute(connection, chain_id, 0, ["aivm_jobs"])["aivm_jobs"]
    connection.execute(text("drop table touched_logs"))
    return moved


def _touch(
    connection: Connection,
    chain_id: int,
    first: int,
    last: int,
    *,
    orphaned: bool,
    events: Iterable[str],
) -> None:
    connection.execute(
        text(load("index/touch_range")),
        {
            "chain_id": chain_id,
            "first": first,
            "last": last,
            "orphaned": orphaned,
            "events": sorted(events),
        },
    )


def _run(connection: Connection, name: str, parameters: dict[str, Any]) -> int:
    statement, named = _statement(name)
    used = {key: value for key, value in parameters.items() if key in named}
    return connection.execute(statement, used).scalar_one()


@cache
def _statement(name: str) -> tuple[TextClause, frozenset[str]]:
    """The statement in ``sql/<name>.sql`` and the parameters that it takes."""
    statement = text(load(name))
    return statement, frozenset(statement.compile().params)
