"""Where the indexer stands, and the compare-and-set that lets only one writer move it."""

from __future__ import annotations

from sqlalchemy import Connection, text

from lightchallenge_dagster.errors import TransientError
from lightchallenge_dagster.rules.reorg import Point

LIVE = "live"
"""The stream of the live follower."""

MIRRORED = ("last_status_block", "last_claims_block", "last_aivm_block", "last_achievement_block")
"""Keys of public.indexer_state that the web app's own tools read."""


class CheckpointMoved(TransientError):
    """Another writer advanced or undid the checkpoint first: this one's work is not committed."""


def read(connection: Connection, chain_id: int) -> Point | None:
    """The checkpoint of the live stream; None before the first run."""
    row = connection.execute(
        text(
            "select block_number, block_hash from pipeline.checkpoints"
            " where chain_id = :chain_id and stream = :stream"
        ),
        {"chain_id": chain_id, "stream": LIVE},
    ).one_or_none()
    return None if row is None else Point(row.block_number, row.block_hash)


def create(connection: Connection, chain_id: int, at: Point) -> bool:
    """Begin the live stream at ``at``; False when it has begun already."""
    done = connection.execute(
        text(
            "insert into pipeline.checkpoints (chain_id, stream, block_number, block_hash)"
            " values (:chain_id, :stream, :number, :hash) on conflict do nothing"
        ),
        {"chain_id": chain_id, "stream": LIVE, "number": at.number, "hash": at.hash},
    )
    return done.rowcount == 1


def hold(connection: Connection, chain_id: int, expected: Point) -> None:
    """Lock the checkpoint until the transaction ends, if it still is ``expected``.

    Raises ``CheckpointMoved`` otherwise. Everything that writes chain data holds it first, so
    that writers queue here and the second one is refused.
    """
    row = connection.execute(
        text(
            "select block_number, block_hash from pipeline.checkpoints"
            " where chain_id = :chain_id and stream = :stream for update"
        ),
        {"chain_id": chain_id, "stream": LIVE},
    ).one_or_none()
    if row is None or (row.block_number, row.block_hash) != (expected.number, expected.hash):
        now = "gone" if row is None else f"at block {row.block_number}"
        raise CheckpointMoved(
            f"the checkpoint of chain {chain_id} is {now}, expected block {expected.number}"
            f" ({expected.hash}): another indexer is at work, its result stands"
        )


def hold_beyond(connection: Connection, chain_id: int, number: int) -> Point:
    """Lock the checkpoint until the transaction ends, wherever it is, if it covers ``number``.

    Raises ``CheckpointMoved`` otherwise.
    """
    row = connection.execute(
        text(
            "select block_number, block_hash from pipeline.checkpoints"
            " where chain_id = :chain_id and stream = :stream for update"
        ),
        {"chain_id": chain_id, "stream": LIVE},
    ).one_or_none()
    if row is None or row.block_number < number:
        raise CheckpointMoved(
            f"the checkpoint of chain {chain_id} does not cover block {number} any more"
        )
    return Point(row.block_number, row.block_hash)


def move(connection: Connection, chain_id: int, to: Point, *, mirror: bool) -> None:
    """Set the held checkpoint, and its mirror in public.indexer_state when asked to."""
    connection.execute(
        text(
            "update pipeline.checkpoints"
            " set block_number = :number, block_hash = :hash, updated_at = now()"
            " where chain_id = :chain_id and stream = :stream"
        ),
        {"chain_id": chain_id, "stream": LIVE, "number": to.number, "hash": to.hash},
    )
    if mirror:
        connection.execute(
            text(
                "insert into public.indexer_state as s (key, value)"
                " select key, :value from unnest(cast(:keys as text[])) as key"
                " on conflict (key) do update set value = excluded.value"
                " where s.value is distinct from excluded.value"
            ),
            {"keys": list(MIRRORED), "value": str(to.number)},
        )
