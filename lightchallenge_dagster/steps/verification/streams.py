"""What to read again next: the contracts' streams and how far each has come."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Engine

from lightchallenge_dagster.rules.events import topics_for
from lightchallenge_dagster.steps.indexing.policy import IndexPolicy
from lightchallenge_dagster.storage import checkpoints, verified
from lightchallenge_dagster.storage.checkpoints import Standing
from lightchallenge_dagster.storage.verified import Stream, StreamKey


@dataclass(frozen=True, slots=True)
class Task:
    """Streams with one watermark, and the block up to which they may be read together."""

    streams: list[Stream]
    watermark: int
    target: int

    @property
    def addresses(self) -> list[str]:
        return [stream.key.address for stream in self.streams]


def stream_keys(policy: IndexPolicy) -> list[StreamKey]:
    """A stream for each contract of the policy."""
    return [StreamKey(role, address, _fingerprint(role)) for address, role in policy.roles.items()]


def watermarks(engine: Engine, policy: IndexPolicy) -> list[Stream]:
    """The streams of the policy's contracts, the furthest behind first."""
    with engine.connect() as connection:
        return verified.streams(connection, policy.chain_id, stream_keys(policy))


def lowest(engine: Engine, policy: IndexPolicy) -> int | None:
    """The block up to which everything was read twice; None before there is a checkpoint."""
    found = watermarks(engine, policy)
    return found[0].block_number if found else None


def next_task(
    engine: Engine,
    policy: IndexPolicy,
    behind: int,
    *,
    limits: Mapping[StreamKey, int] | None = None,
    pause_s: float = 0.0,
) -> Task | str:
    """The streams that are furthest behind; why there is nothing to read, when there is not."""
    known = _known(engine, policy, pause_s)
    if known is None:
        return "nothing is indexed yet"
    held, found = known
    target = held.number - behind
    open_to = {one.key: _open_to(one, (limits or {}).get(one.key, target), target) for one in found}
    waiting = [one for one in found if one.block_number < open_to[one.key]]
    if not waiting:
        disputed = next((one.problem for one in found if one.problem), None)
        return disputed or f"verified up to block {found[0].block_number}"
    at = waiting[0].block_number
    group = [one for one in waiting if one.block_number == at]
    ahead = [one.block_number for one in waiting if one.block_number > at]
    return Task(group, at, min([open_to[one.key] for one in group] + ahead))


def _known(
    engine: Engine, policy: IndexPolicy, pause_s: float
) -> tuple[Standing, list[Stream]] | None:
    """The checkpoint and every stream, begun where there was none; None before the checkpoint."""
    chain, keys = policy.chain_id, stream_keys(policy)
    with engine.begin() as connection:
        held = checkpoints.standing(connection, chain)
        if held is None:
            return None
        found = verified.streams(connection, chain, keys, pause_s=pause_s)
        if len(found) < len(keys):
            first = held.first_block
            verified.begin(connection, chain, keys, first_block=first, checkpoint=held.number)
            found = verified.streams(connection, chain, keys, pause_s=pause_s)
    return held, found


def _open_to(stream: Stream, limit: int, target: int) -> int:
    if stream.paused and stream.problem_block is not None:
        limit = min(limit, stream.problem_block - 1)
    return min(target, limit)


def _fingerprint(role: str) -> str:
    return hashlib.sha256("\n".join(topics_for([role])).encode()).hexdigest()[:16]
