"""Ask a contract again for what it would not tell when a log was read."""

from __future__ import annotations

from sqlalchemy import Engine

from lightchallenge_dagster.steps.indexing.describe import (
    AchievementSnapshot,
    ChallengeSnapshot,
    describe,
)
from lightchallenge_dagster.steps.indexing.policy import IndexPolicy
from lightchallenge_dagster.storage import checkpoints, projections
from lightchallenge_dagster.storage.blocks import IndexedLog
from lightchallenge_dagster.storage.untold import tell, untold

_ANYWHERE = -1


def ask_again(
    engine: Engine,
    policy: IndexPolicy,
    snapshot: ChallengeSnapshot,
    achievement: AchievementSnapshot | None,
) -> tuple[int, dict[str, int]]:
    """How many logs are told of now, and the rows that changed by projection.

    A log whose contract refuses again stays as it is. Raises as ``describe`` does.
    """
    with engine.connect() as connection:
        found = untold(connection, policy.chain_id)
    # An address that is not in the settings any more has nobody to ask.
    known = [(log, at) for log, at in found if log.address in policy.roles]
    times = {log.block_number: at for log, at in known}
    described = describe(policy, [log for log, _ in known], times, snapshot, achievement)
    told = [log for log in described if log.snapshot is not None]
    return _store(engine, policy, told) if told else (0, {})


def _store(
    engine: Engine, policy: IndexPolicy, logs: list[IndexedLog]
) -> tuple[int, dict[str, int]]:
    chain = policy.chain_id
    with engine.begin() as connection:
        held = checkpoints.hold_beyond(connection, chain, _ANYWHERE)
        projections.begin(connection)
        told = tell(connection, chain, logs)
        for number in sorted({log.raw.block_number for log in told}):
            projections.touch(connection, chain, number, number, orphaned=False)
        rows = projections.recompute(connection, chain, held.first_block)
    return len(told), rows
