"""Verify: read what is stored a second time, from another endpoint when there is one.

A node can leave out a log and look honest. So ranges some blocks behind the checkpoint are read
again and compared with the stored logs, contract by contract; the *verified* watermark of a
contract's stream says how far both readings agree.

What may change the stored logs is decided so that no single node can (``rules.witnesses``): with
two endpoints a log is added when both return it, and dropped when both, asked for the whole block
by its hash, return logs that make the header's bloom and leave it out. Where they differ nothing
changes, the watermark stays below the block, and a check names it.
"""

from __future__ import annotations

from lightchallenge_dagster.steps.verification.look import (
    LOOK_BLOCKS,
    PAUSE_S,
    VERIFY_BEHIND_BLOCKS,
    VerifyOutlook,
    look,
)
from lightchallenge_dagster.steps.verification.report import VerifyReport
from lightchallenge_dagster.steps.verification.run import verify
from lightchallenge_dagster.steps.verification.streams import stream_keys, watermarks
from lightchallenge_dagster.storage.verified import WatermarkMoved

__all__ = [
    "LOOK_BLOCKS",
    "PAUSE_S",
    "VERIFY_BEHIND_BLOCKS",
    "VerifyOutlook",
    "VerifyReport",
    "WatermarkMoved",
    "look",
    "stream_keys",
    "verify",
    "watermarks",
]
