"""Index the chain: follow it, look whether there is something to follow, heal and rebuild.

One reader fills pipeline.chain_logs for all contracts; everything else is a projection of it.
``follow`` moves the checkpoint, in one transaction with all that it covers; ``look`` may do so for
a range that it has seen to be empty; ``heal`` and ``rebuild`` never do.
"""

from __future__ import annotations

from lightchallenge_dagster.rules.reorg import ReorgPastFinality, ReorgTooDeep
from lightchallenge_dagster.steps.indexing.follow import follow
from lightchallenge_dagster.steps.indexing.heal import heal
from lightchallenge_dagster.steps.indexing.look import TICK_BLOCKS, look
from lightchallenge_dagster.steps.indexing.policy import (
    IndexPolicy,
    IndexReport,
    Outlook,
    RebuildReport,
)
from lightchallenge_dagster.steps.indexing.read import (
    NEAR_HEAD,
    AchievementSnapshot,
    ChainMoved,
    ChallengeSnapshot,
)
from lightchallenge_dagster.steps.indexing.rebuild import rebuild
from lightchallenge_dagster.steps.indexing.standing import checkpoint
from lightchallenge_dagster.storage.checkpoints import CheckpointMoved
from lightchallenge_dagster.storage.projections import PROJECTIONS

__all__ = [
    "NEAR_HEAD",
    "PROJECTIONS",
    "TICK_BLOCKS",
    "AchievementSnapshot",
    "ChainMoved",
    "ChallengeSnapshot",
    "CheckpointMoved",
    "IndexPolicy",
    "IndexReport",
    "Outlook",
    "RebuildReport",
    "ReorgPastFinality",
    "ReorgTooDeep",
    "checkpoint",
    "follow",
    "heal",
    "look",
    "rebuild",
]
