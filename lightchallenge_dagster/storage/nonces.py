"""A wallet's nonces: one transaction at a time takes the next one (``pipeline.signers``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from lightchallenge_dagster.rules.nonces import free_nonce
from lightchallenge_dagster.storage.outbox import OUSTED

if TYPE_CHECKING:
    from sqlalchemy import Connection


def lock(connection: Connection, chain_id: int, signer: str) -> None:
    """Keep everybody else from signing as ``signer`` until the transaction ends."""
    key = {"chain_id": chain_id, "address": signer}
    connection.execute(
        text("""
            insert into pipeline.signers (chain_id, address, next_nonce)
            values (:chain_id, :address, 0) on conflict do nothing
        """),
        key,
    )
    connection.execute(
        text("""
            select 1 from pipeline.signers
             where chain_id = :chain_id and address = :address for update
        """),
        key,
    )


def take(connection: Connection, chain_id: int, signer: str, *, mined: int, pending: int) -> int:
    """Lock the signer until the transaction ends, and give out its lowest free nonce.

    ``mined`` and ``pending`` are the chain's own counts (``rules.nonces.free_nonce``). Whoever
    takes a nonce stores what it signs with it in the same transaction.
    """
    lock(connection, chain_id, signer)
    nonce = free_nonce(mined, pending, held(connection, chain_id, signer, mined))
    connection.execute(
        text("""
            update pipeline.signers set next_nonce = greatest(next_nonce, :next)
             where chain_id = :chain_id and address = :address
        """),
        {"chain_id": chain_id, "address": signer, "next": nonce + 1},
    )
    return nonce


def held(connection: Connection, chain_id: int, signer: str, mined: int) -> set[int]:
    """The nonces from ``mined`` on that transactions of ours have, mined or not."""
    rows = connection.execute(
        text("""
            select distinct nonce from pipeline.transactions
             where chain_id = :chain_id and signer = :address and nonce >= :mined
               and receipt_status is distinct from :ousted
        """),
        {"chain_id": chain_id, "address": signer, "mined": mined, "ousted": OUSTED},
    )
    return set(rows.scalars())


def waiting(connection: Connection, chain_id: int, signer: str) -> dict[int, int]:
    """The nonces of signed intents that no block holds yet, with the head they were signed at."""
    rows = connection.execute(
        text("""
            select i.nonce, min(coalesce(t.signed_block, 0)) as signed_block
              from pipeline.intents i
              join pipeline.transactions t on t.intent_key = i.key and t.nonce = i.nonce
             where i.chain_id = :chain_id and i.signer = :address
               and i.status in ('signed', 'broadcast')
             group by i.nonce
        """),
        {"chain_id": chain_id, "address": signer},
    )
    return {row.nonce: row.signed_block for row in rows}


def in_flight(connection: Connection, chain_id: int) -> dict[str, dict[int, float]]:
    """By wallet, the nonces that wait for a block, with the minutes since they were signed."""
    rows = connection.execute(
        text("""
            select i.signer, i.nonce,
                   extract(epoch from clock_timestamp() - max(t.signed_at)) / 60 as minutes
              from pipeline.intents i
              join pipeline.transactions t on t.intent_key = i.key and t.nonce = i.nonce
             where i.chain_id = :chain_id and i.status in ('signed', 'broadcast')
             group by i.signer, i.nonce
        """),
        {"chain_id": chain_id},
    )
    found: dict[str, dict[int, float]] = {}
    for row in rows:
        found.setdefault(row.signer, {})[row.nonce] = float(row.minutes)
    return found
