"""How far the indexer was behind the chain, over time: pipeline.lag_samples."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from sqlalchemy import Connection

SAMPLE_EVERY_S = 15
"""Samples are kept at least this far apart."""

KEEP_DAYS = 7
"""Older samples are dropped by the daily job."""

_SAMPLE = text("""
    insert into pipeline.lag_samples
        (chain_id, at, head, checkpoint, verified, lag_blocks, lag_seconds)
    select c.chain_id, clock_timestamp(), :head, c.block_number,
           (select min(v.block_number) from pipeline.verified_streams v
             where v.chain_id = c.chain_id),
           greatest(0, :head - c.block_number),
           greatest(0, :head_ts - coalesce(b.timestamp, :head_ts))
      from pipeline.checkpoints c
      left join pipeline.chain_blocks b
        on b.chain_id = c.chain_id and b.number = c.block_number
     where c.chain_id = :chain_id and c.stream = 'live'
       and not exists (select 1 from pipeline.lag_samples s
                        where s.chain_id = c.chain_id
                          and s.at > clock_timestamp() - make_interval(secs => :every_s))
    on conflict do nothing
""")
_SINCE = text("""
    select at, head, checkpoint, verified, lag_blocks, lag_seconds
      from pipeline.lag_samples
     where chain_id = :chain_id and at > now() - make_interval(hours => :hours)
     order by at
""")
_OLD = text(
    "select exists (select 1 from pipeline.lag_samples"
    " where at < now() - make_interval(days => :days))"
)
_DROP = text("delete from pipeline.lag_samples where at < now() - make_interval(days => :days)")


@dataclass(frozen=True, slots=True)
class Sample:
    """The chain's head, the checkpoint and the lowest verified block at one moment.

    ``lag_blocks`` and ``lag_seconds`` (chain time) lie between checkpoint and head, confirmations
    included.
    """

    at: datetime
    head: int
    checkpoint: int
    verified: int | None
    lag_blocks: int
    lag_seconds: int


def sample(
    connection: Connection,
    chain_id: int,
    head: int,
    head_ts: int,
    *,
    every_s: float = SAMPLE_EVERY_S,
) -> bool:
    """Keep a sample for a head just seen, unless one was kept a moment ago; whether it was."""
    return (
        connection.execute(
            _SAMPLE,
            {"chain_id": chain_id, "head": head, "head_ts": head_ts, "every_s": every_s},
        ).rowcount
        == 1
    )


def since(connection: Connection, chain_id: int, hours: int) -> list[Sample]:
    """The samples of the last hours, oldest first."""
    rows = connection.execute(_SINCE, {"chain_id": chain_id, "hours": hours})
    return [Sample(*row) for row in rows]


def has_old(connection: Connection, days: int = KEEP_DAYS) -> bool:
    """Whether there are samples older than that."""
    return connection.execute(_OLD, {"days": days}).scalar_one()


def drop_old(connection: Connection, days: int = KEEP_DAYS) -> int:
    """Forget samples older than that; how many."""
    return connection.execute(_DROP, {"days": days}).rowcount
