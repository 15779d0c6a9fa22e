"""Who is believed when readings of a block differ. No single node may change what is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lightchallenge_dagster.rules.events import RawLog, may_contain
from lightchallenge_dagster.rules.reorg import Block

Key = tuple[int, int]
"""Block number and log index."""

Logs = Mapping[Key, RawLog]


@dataclass(frozen=True, slots=True)
class Statement:
    """What one node shows of a block that it was asked for whole, by the block's hash.

    ``logs`` is None when the answer contradicts itself. ``sealed`` says that the header has a bloom
    and that it is made by exactly these logs; some chains fill none.
    """

    logs: Logs | None
    sealed: bool = False


def settled(stored: Logs, heard: Sequence[Statement]) -> Logs | None:
    """The logs of a block, by the statement of each node that there is; None: they stay disputed.

    All that do not contradict themselves have to show the same. While one does contradict itself
    the others can only confirm what is stored. A node that is the only one drops a log only with
    the header's word for it.
    """
    shown = [one for one in heard if one.logs is not None]
    if not shown:
        return None
    logs = shown[0].logs
    if logs is None or any(one.logs != logs for one in shown):
        return None
    if len(shown) < len(heard) and logs != stored:
        return None
    drops = not stored.items() <= logs.items()
    if drops and len(heard) == 1 and not shown[0].sealed:
        return None
    return logs


def only_late(header: Block, stored: Logs, readings: Sequence[Logs | None]) -> bool:
    """Whether a block merely lacks logs: all readings of its range show the same additional ones.

    They have to be of the block ``header``, and its bloom has to allow them. A reading that is
    None contradicted itself.
    """
    seen = readings[0]
    if seen is None or any(reading != seen for reading in readings):
        return False
    return stored.items() <= seen.items() and _allowed(header, seen)


def _allowed(header: Block, logs: Logs) -> bool:
    empty = not int(header.logs_bloom, 16)
    return all(
        log.block_hash == header.hash
        and (empty or may_contain(header.logs_bloom, log.address, log.topics[:1]))
        for log in logs.values()
    )
