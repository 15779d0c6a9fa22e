"""Rebuild a projection from what is stored, without the chain."""

from __future__ import annotations

import time

from sqlalchemy import Engine

from lightchallenge_dagster.errors import PermanentError
from lightchallenge_dagster.steps.indexing.policy import IndexPolicy, RebuildReport
from lightchallenge_dagster.storage import checkpoints, projections
from lightchallenge_dagster.storage.projections import PROJECTIONS

_ANYWHERE = -1


def rebuild(engine: Engine, policy: IndexPolicy, projection: str) -> RebuildReport:
    """Recompute one of ``PROJECTIONS`` from the stored logs, all rows, without the chain.

    Raises ``PermanentError`` for a projection that does not exist.
    """
    if projection not in PROJECTIONS:
        raise PermanentError(
            f"there is no projection {projection!r}; there are {', '.join(PROJECTIONS)}"
        )
    chain = policy.chain_id
    before = time.perf_counter()
    with engine.begin() as connection:
        if checkpoints.read(connection, chain) is None:
            return RebuildReport(projection, 0, 0.0)
        first_block = checkpoints.hold_beyond(connection, chain, _ANYWHERE).first_block
        projections.begin(connection)
        projections.touch_all(connection, chain, projection)
        changed = projections.recompute(connection, chain, first_block, [projection])
    return RebuildReport(projection, changed[projection], time.perf_counter() - before)
