"""Chain time as far as it is indexed and confirmed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from sqlalchemy import Connection

_CONFIRMED = text("""
    select b.timestamp
      from pipeline.checkpoints c
      join pipeline.chain_blocks b on b.chain_id = c.chain_id and b.number = c.block_number
     where c.chain_id = :chain_id and c.stream = 'live'
""")


def confirmed_now(connection: Connection, chain_id: int) -> int | None:
    """Timestamp (epoch seconds) of the checkpoint's block; None before anything is indexed.

    Some confirmations behind the contracts' own now. That is right for deciding whether to start a
    run: what opens with time is open a moment later, and the run itself asks the node.
    """
    return connection.execute(_CONFIRMED, {"chain_id": chain_id}).scalar_one_or_none()
