"""Where the indexer stands, and the compare-and-set that lets only one writer move it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Row, text

from lightchallenge_dagster.errors import PermanentError, TransientError
from lightchallenge_dagster.rules.reorg import Point

LIVE = "live"
"""The stream of the live follower."""

MIRRORED = ("last_status_block", "last_claims_block", "last_aivm_block", "last_achievement_block")
"""Keys of public.indexer_state that the web app's own tools read."""


class CheckpointMoved(TransientError):
    """Another writer advanced or undid the checkpoint first: this one's work is not committed."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The checkpoint (block ``number`` with ``hash``) and what is remembered beside it.

    ``first_block`` is the first block ever indexed. ``finalized`` is the newest indexed block
    that the chain has called final, None where the chain does not say. ``stopped_reason`` and
    ``stopped_at`` tell why and when the follower refused to go on; None while it goes.
    """

    number: int
    hash: str
    first_block: int
    finalized: Point | None = None
    stopped_reason: str | None = None
    stopped_at: datetime | None = None

    @property
    def point(self) -> Point:
        """The checkpoint as a block."""
        return Point(self.number, self.hash)


_SELECT = (
    "select block_number, block_hash, first_block, finalized_number, finalized_hash,"
    " stopped_reason, stopped_at"
    " from pipeline.checkpoints where chain_id = :chain_id and stream = :stream"
)


def standing(connection: Connection, chain_id: int) -> Standing | None:
    """The live stream's checkpoint with all it remembers; None before the first run."""
    return _read(connection, chain_id, _SELECT)


def read(connection: Connection, chain_id: int) -> Point | None:
    """The checkpoint of the live stream; None before the first run."""
    found = standing(connection, chain_id)
    return None if found is None else found.point


def create(connection: Connection, chain_id: int, at: Point) -> bool:
    """Begin the live stream at ``at``, the block before the first one to index.

    False when it has begun already. Raises ``PermanentError`` in a database of another chain: the
    tables of public name challenges and wallets without saying of which.
    """
    other = connection.execute(
        text("select chain_id from pipeline.checkpoints where chain_id <> :chain_id limit 1"),
        {"chain_id": chain_id},
    ).scalar_one_or_none()
    if other is not None:
        raise PermanentError(
            f"this database holds chain {other}, LCAI_CHAIN_ID says {chain_id}: the challenges of"
            " both would be one. Nothing was indexed; use a database of its own for each chain"
        )
    done = connection.execute(
        text(
            "insert into pipeline.checkpoints"
            " (chain_id, stream, block_number, block_hash, first_block)"
            " values (:chain_id, :stream, :number, :hash, :first_block) on conflict do nothing"
        ),
        _key(chain_id) | {"number": at.number, "hash": at.hash, "first_block": at.number + 1},
    )
    return done.rowcount == 1


def hold(connection: Connection, chain_id: int, expected: Point) -> Standing:
    """Lock the checkpoint until the transaction ends, if it still is ``expected``.

    Raises ``CheckpointMoved`` otherwise. Everything that writes chain data holds it first, so
    that writers queue here and the second one is refused.
    """
    held = _read(connection, chain_id, f"{_SELECT} for update")
    if held is None or held.point != expected:
        now = "gone" if held is None else f"at block {held.number}"
        raise CheckpointMoved(
            f"the checkpoint of chain {chain_id} is {now}, expected block {expected.number}"
            f" ({expected.hash}): another indexer is at work, its result stands"
        )
    return held


def hold_beyond(connection: Connection, chain_id: int, number: int) -> Standing:
    """Lock the checkpoint until the transaction ends, wherever it is, if it covers ``number``.

    Raises ``CheckpointMoved`` otherwise.
    """
    held = _read(connection, chain_id, f"{_SELECT} for update")
    if held is None or held.number < number:
        raise CheckpointMoved(
            f"the checkpoint of chain {chain_id} does not cover block {number} any more"
        )
    return held


def move(
    connection: Connection,
    chain_id: int,
    to: Point,
    *,
    mirror: bool,
    finalized: Point | None = None,
) -> None:
    """Set the held checkpoint, and its mirror in public.indexer_state when asked to.

    ``finalized``, a block at or below ``to``, raises the watermark and never lowers it. Whatever
    had stopped the follower is over: it has just moved.
    """
    connection.execute(
        text(
            "update pipeline.checkpoints"
            " set block_number = :number, block_hash = :hash, updated_at = now(),"
            "     stopped_reason = null, stopped_at = null"
            " where chain_id = :chain_id and stream = :stream"
        ),
        _key(chain_id) | {"number": to.number, "hash": to.hash},
    )
    if finalized is not None:
        finalize(connection, chain_id, finalized)
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


def finalize(connection: Connection, chain_id: int, at: Point) -> bool:
    """Raise the watermark of final blocks to ``at``, an indexed block; True when it rose.

    It does not rise to a block of another chain than the headers that are kept.
    """
    done = connection.execute(
        text(
            "update pipeline.checkpoints"
            " set finalized_number = :number, finalized_hash = :hash"
            " where chain_id = :chain_id and stream = :stream and block_number >= :number"
            "   and (finalized_number is null or finalized_number < :number)"
            "   and not exists (select 1 from pipeline.chain_blocks b"
            "                   where b.chain_id = :chain_id and b.number = :number"
            "                     and b.hash <> :hash)"
        ),
        _key(chain_id) | {"number": at.number, "hash": at.hash},
    )
    return done.rowcount == 1


def forget_finality_above(connection: Connection, chain_id: int, number: int) -> None:
    """For an operator who sets the checkpoint back by hand: no block above ``number`` is final."""
    connection.execute(
        text(
            "update pipeline.checkpoints set finalized_number = null, finalized_hash = null"
            " where chain_id = :chain_id and stream = :stream and finalized_number > :number"
        ),
        _key(chain_id) | {"number": number},
    )


def begin_earlier(connection: Connection, chain_id: int, first_block: int) -> None:
    """Lower the first indexed block of the held checkpoint; never raises it."""
    connection.execute(
        text(
            "update pipeline.checkpoints set first_block = least(first_block, :first_block)"
            " where chain_id = :chain_id and stream = :stream"
        ),
        _key(chain_id) | {"first_block": first_block},
    )


def stop(connection: Connection, chain_id: int, reason: str) -> None:
    """Note why the follower refuses to go on; the first time of the same reason is kept."""
    connection.execute(
        text(
            "update pipeline.checkpoints set stopped_reason = :reason, stopped_at = now()"
            " where chain_id = :chain_id and stream = :stream"
            "   and stopped_reason is distinct from :reason"
        ),
        _key(chain_id) | {"reason": reason},
    )


def resume(connection: Connection, chain_id: int) -> None:
    """Forget what had stopped the follower: the chain agrees with us again."""
    connection.execute(
        text(
            "update pipeline.checkpoints set stopped_reason = null, stopped_at = null"
            " where chain_id = :chain_id and stream = :stream and stopped_reason is not null"
        ),
        _key(chain_id),
    )


def _key(chain_id: int) -> dict[str, int | str]:
    return {"chain_id": chain_id, "stream": LIVE}


def _read(connection: Connection, chain_id: int, sql: str) -> Standing | None:
    row = connection.execute(text(sql), _key(chain_id)).one_or_none()
    return None if row is None else _standing(row)


def _standing(row: Row[tuple[object, ...]]) -> Standing:
    final = row.finalized_number
    return Standing(
        row.block_number,
        row.block_hash,
        row.first_block,
        None if final is None else Point(final, row.finalized_hash),
        row.stopped_reason,
        row.stopped_at,
    )
