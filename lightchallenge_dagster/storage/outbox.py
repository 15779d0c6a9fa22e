"""Intents and transactions: what is to happen on chain, and what was signed for it.

An *intent* is one effect with a unique key, ever. A *transaction* is one signed attempt at it;
several may share the intent's nonce (a fee bump), so at most one of them is ever mined.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from lightchallenge_dagster.storage import sql

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

# The intent's nonce went to a transaction that is not ours: this one can never be mined.
OUSTED = -1


@dataclass(frozen=True, slots=True)
class Intent:
    """One effect on chain.

    ``kind``: request, reclaim, bind, clear, proof, finalize, metadata, fill.

    ``signer`` and ``to`` are lowercase wallets, ``data`` is calldata as 0x-hex.
    """

    key: str
    kind: str
    signer: str
    to: str
    data: str
    value_wei: int = 0
    challenge_id: int | None = None
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class StoredIntent:
    """A row of ``pipeline.intents``."""

    intent: Intent
    nonce: int | None
    status: str
    refusals: int
    last_error: str | None
    retry_at: datetime | None


@dataclass(frozen=True, slots=True)
class StoredTransaction:
    """A row of ``pipeline.transactions`` that can still be mined, or was; fees in wei per gas.

    ``signed_block`` is the chain's head at its signature (None: signed before that was kept).
    """

    hash: str
    intent_key: str
    signer: str
    nonce: int
    raw: str
    gas: int
    max_fee_per_gas: int
    max_priority_fee_per_gas: int | None
    signed_at: datetime
    signed_block: int | None
    broadcast_at: datetime | None
    block_number: int | None
    block_hash: str | None
    receipt_status: int | None


_INTENT_COLUMNS = """
    key, kind, signer, to_address, data, value_wei, challenge_id, subject,
    nonce, status, refusals, last_error, retry_at
"""
_BY_KEY = text(f"select {_INTENT_COLUMNS} from pipeline.intents where key = any(:keys)")  # noqa: S608 — a constant of this module
_IN_FLIGHT = text(
    f"select {_INTENT_COLUMNS} from pipeline.intents"  # noqa: S608 — a constant of this module
    " where chain_id = :chain_id and status in ('signed', 'broadcast', 'mined')"
    " order by signer, nonce"
)
_DUE = text(
    f"select {_INTENT_COLUMNS} from pipeline.intents"  # noqa: S608 — a constant of this module
    " where chain_id = coalesce(:chain_id, chain_id) and kind = :kind"
    " and status in ('planned', 'refused')"
    " and coalesce(retry_at, '-infinity') <= now() order by created_at, key"
)
_TRANSACTIONS = text("""
    select hash, intent_key, signer, nonce, raw, gas, max_fee_per_gas, max_priority_fee_per_gas,
           signed_at, signed_block, broadcast_at, block_number, block_hash, receipt_status
      from pipeline.transactions
     where intent_key = any(:keys) and receipt_status is distinct from :ousted
     order by signed_at, hash
""")


def plan(connection: Connection, chain_id: int, intents: Iterable[Intent]) -> None:
    """Write intents down (status ``planned``), in the caller's transaction.

    One that was never signed takes the new content; one that was signed stays as it is.
    """
    rows = [
        {
            "key": intent.key,
            "chain_id": chain_id,
            "kind": intent.kind,
            "challenge_id": intent.challenge_id,
            "subject": intent.subject,
            "signer": intent.signer,
            "to": intent.to,
            "data": intent.data,
            "value_wei": intent.value_wei,
        }
        # In key order, so that two planners cannot wait for each other.
        for intent in sorted(intents, key=lambda intent: intent.key)
    ]
    if rows:
        connection.execute(text(sql.load("outbox/plan")), rows)


def by_key(connection: Connection, keys: Sequence[str]) -> dict[str, StoredIntent]:
    """The stored intents among ``keys``."""
    rows = connection.execute(_BY_KEY, {"keys": list(keys)})
    return {row.key: _stored(row) for row in rows}


def due(connection: Connection, kind: str, chain_id: int | None = None) -> list[Intent]:
    """Intents of a kind that were never signed and are to be tried now, the oldest first.

    Of one chain, or of whichever the database is about.
    """
    rows = connection.execute(_DUE, {"chain_id": chain_id, "kind": kind})
    return [_stored(row).intent for row in rows]


def withdraw(connection: Connection, key: str) -> bool:
    """Forget an intent that was never signed: the chain has made it pointless."""
    row = connection.execute(
        text("""
            delete from pipeline.intents i
             where key = :key and status in ('planned', 'refused')
               and not exists (select from pipeline.transactions t where t.intent_key = i.key)
        """),
        {"key": key},
    )
    return row.rowcount > 0


def in_flight(connection: Connection, chain_id: int) -> list[StoredIntent]:
    """Intents that were signed and are not final, in nonce order of their signer."""
    return [_stored(row) for row in connection.execute(_IN_FLIGHT, {"chain_id": chain_id})]


def transactions(connection: Connection, keys: Sequence[str]) -> dict[str, list[StoredTransaction]]:
    """Each intent's transactions that can still be mined, or were; the oldest first."""
    found: dict[str, list[StoredTransaction]] = {}
    rows = connection.execute(_TRANSACTIONS, {"keys": list(keys), "ousted": OUSTED})
    for row in rows:
        tip = row.max_priority_fee_per_gas
        found.setdefault(row.intent_key, []).append(
            StoredTransaction(
                hash=row.hash,
                intent_key=row.intent_key,
                signer=row.signer,
                nonce=row.nonce,
                raw=row.raw,
                gas=row.gas,
                max_fee_per_gas=int(row.max_fee_per_gas),
                max_priority_fee_per_gas=None if tip is None else int(tip),
                signed_at=row.signed_at,
                signed_block=row.signed_block,
                broadcast_at=row.broadcast_at,
                block_number=row.block_number,
                block_hash=row.block_hash,
                receipt_status=row.receipt_status,
            )
        )
    return found


def advanceable(connection: Connection) -> list[str]:
    """Keys of intents that a look at the chain can move on now; empty while none can."""
    return list(connection.execute(text(sql.load("outbox/advanceable"))).scalars())


@dataclass(frozen=True, slots=True)
class Attempt:
    """An intent as the step that plans it sees it.

    ``waiting``: its retry time is still to come. ``block_number`` is where its transaction is;
    ``failing`` says that the transaction reverted there, final or not. ``outlived``: its effect is
    there and of no use any more (a request that can never be answered).
    """

    intent: Intent
    status: str
    last_error: str | None
    waiting: bool
    block_number: int | None
    failing: bool
    outlived: bool = False

    @property
    def key(self) -> str:
        return self.intent.key

    @property
    def challenge_id(self) -> int | None:
        return self.intent.challenge_id

    @property
    def subject(self) -> str | None:
        return self.intent.subject

    @property
    def signed(self) -> bool:
        """Whether a transaction may exist for it, anywhere."""
        return self.status not in ("planned", "refused")

    @property
    def spent(self) -> bool:
        """Whether it failed or was outlived for good: another attempt takes another key."""
        return self.status == "reverted" or self.outlived

    def unseen(self, indexed_to: int) -> bool:
        """Whether its effect may exist and is not in the tables yet (indexed up to a block)."""
        if self.status in ("signed", "broadcast"):
            return True
        if self.status not in ("mined", "confirmed"):
            return False
        if self.failing:
            return self.status == "mined"
        return self.block_number is None or self.block_number > indexed_to


def attempts(
    connection: Connection, challenge_ids: Sequence[int], kinds: Sequence[str]
) -> list[Attempt]:
    """The intents of these kinds for these challenges, the oldest first."""
    rows = connection.execute(
        text(sql.load("outbox/attempts")),
        {"challenge_ids": list(challenge_ids), "kinds": list(kinds)},
    )
    return [
        Attempt(
            intent=_stored(row).intent,
            status=row.status,
            last_error=row.last_error,
            waiting=row.waiting,
            block_number=row.block_number,
            failing=row.failing,
            outlived=row.outlived,
        )
        for row in rows
    ]


def _stored(row: Row[Any]) -> StoredIntent:
    values = row._mapping  # pyright: ignore[reportPrivateUsage] — SQLAlchemy's public name
    return StoredIntent(
        intent=Intent(
            key=values["key"],
            kind=values["kind"],
            signer=values["signer"],
            to=values["to_address"],
            data=values["data"],
            value_wei=int(values["value_wei"]),
            challenge_id=values["challenge_id"],
            subject=values["subject"],
        ),
        nonce=values["nonce"],
        status=values["status"],
        refusals=values["refusals"],
        last_error=values["last_error"],
        retry_at=values["retry_at"],
    )
