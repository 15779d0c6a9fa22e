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

    from lightchallenge_dagster.rules.receipts import Receipt

# The intent's nonce went to a transaction that is not ours: this one can never be mined.
OUSTED = -1


@dataclass(frozen=True, slots=True)
class Intent:
    """One effect on chain. ``kind``: request, bind, clear, proof, finalize, metadata.

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
    """A row of ``pipeline.transactions`` that can still be mined, or was; fees in wei per gas."""

    hash: str
    intent_key: str
    signer: str
    nonce: int
    raw: str
    gas: int
    max_fee_per_gas: int
    max_priority_fee_per_gas: int | None
    signed_at: datetime
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
_TRANSACTIONS = text("""
    select hash, intent_key, signer, nonce, raw, gas, max_fee_per_gas, max_priority_fee_per_gas,
           signed_at, broadcast_at, block_number, block_hash, receipt_status
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
    ``failing`` says that the transaction reverted there, final or not.
    """

    intent: Intent
    status: str
    last_error: str | None
    waiting: bool
    block_number: int | None
    failing: bool

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
        """Whether it failed for good: another attempt takes another key."""
        return self.status == "reverted"

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
        )
        for row in rows
    ]


# ── signing ─────────────────────────────────────────────────────────────────────────────


def take_nonce(connection: Connection, chain_id: int, signer: str, chain_nonce: int) -> int:
    """Lock the signer until the transaction ends, and give out its next nonce.

    ``chain_nonce`` is the chain's own next nonce (pending count): the larger of it and the stored
    one is given out, because the key may have been used elsewhere, and a node may lag.
    """
    connection.execute(
        text("""
            insert into pipeline.signers (chain_id, address, next_nonce)
            values (:chain_id, :address, :nonce) on conflict do nothing
        """),
        {"chain_id": chain_id, "address": signer, "nonce": chain_nonce},
    )
    stored: int = connection.execute(
        text("""
            select next_nonce from pipeline.signers
             where chain_id = :chain_id and address = :address for update
        """),
        {"chain_id": chain_id, "address": signer},
    ).scalar_one()
    nonce = max(stored, chain_nonce)
    connection.execute(
        text("""
            update pipeline.signers set next_nonce = :next
             where chain_id = :chain_id and address = :address
        """),
        {"chain_id": chain_id, "address": signer, "next": nonce + 1},
    )
    return nonce


def lock_signer(connection: Connection, chain_id: int, signer: str) -> None:
    """Keep everybody else from signing as ``signer`` until the transaction ends."""
    connection.execute(
        text("""
            select 1 from pipeline.signers
             where chain_id = :chain_id and address = :address for update
        """),
        {"chain_id": chain_id, "address": signer},
    )


def lock_unsigned(connection: Connection, key: str) -> bool:
    """Lock an intent that may be signed now; false when another worker has signed it already."""
    row = connection.execute(
        text("""
            select 1 from pipeline.intents
             where key = :key and status in ('planned', 'refused') for update
        """),
        {"key": key},
    )
    return row.first() is not None


def record_signed(
    connection: Connection, chain_id: int, tx: StoredTransaction, retry_s: float
) -> None:
    """Store a signed transaction and bind its intent to the nonce.

    Whoever signed it is about to broadcast it; others look after it in ``retry_s`` seconds.
    """
    connection.execute(
        text("""
            insert into pipeline.transactions
                (hash, intent_key, chain_id, signer, nonce, raw, gas, max_fee_per_gas,
                 max_priority_fee_per_gas)
            values (:hash, :key, :chain_id, :signer, :nonce, :raw, :gas, :fee, :tip)
        """),
        {
            "hash": tx.hash,
            "key": tx.intent_key,
            "chain_id": chain_id,
            "signer": tx.signer,
            "nonce": tx.nonce,
            "raw": tx.raw,
            "gas": tx.gas,
            "fee": tx.max_fee_per_gas,
            "tip": tx.max_priority_fee_per_gas,
        },
    )
    connection.execute(
        text("""
            update pipeline.intents
               set status = 'signed', nonce = :nonce, last_error = null, updated_at = now(),
                   retry_at = now() + make_interval(secs => :retry_s)
             where key = :key
        """),
        {"key": tx.intent_key, "nonce": tx.nonce, "retry_s": retry_s},
    )


def confirm_indexed(connection: Connection) -> int:
    """Make mined intents final whose very block the indexer has confirmed; returns how many."""
    return connection.execute(text(sql.load("outbox/confirm_indexed"))).rowcount


# ── what became of it ───────────────────────────────────────────────────────────────────


def record_broadcast(connection: Connection, tx: StoredTransaction, retry_s: float) -> None:
    """A node has taken the transaction; look again in ``retry_s`` seconds."""
    connection.execute(
        text("""
            update pipeline.transactions set broadcast_at = coalesce(broadcast_at, now())
             where hash = :hash
        """),
        {"hash": tx.hash},
    )
    connection.execute(
        text("""
            update pipeline.intents
               set status = 'broadcast', last_error = null, updated_at = now(),
                   retry_at = now() + make_interval(secs => :retry_s)
             where key = :key and status in ('signed', 'broadcast')
        """),
        {"key": tx.intent_key, "retry_s": retry_s},
    )


def record_trouble(
    connection: Connection, key: str, error: str, retry_s: float, *, signed: bool
) -> None:
    """Keep an intent as it is, say what is in its way, and look again later (not a refusal).

    ``signed``: the trouble is with its transaction; otherwise with sending it at all, and an
    intent that another worker has signed meanwhile is left alone.
    """
    statuses = ["signed", "broadcast"] if signed else ["planned", "refused"]
    connection.execute(
        text("""
            update pipeline.intents
               set last_error = :error, updated_at = now(),
                   retry_at = now() + make_interval(secs => :retry_s)
             where key = :key and status = any(:statuses)
        """),
        {"key": key, "error": error, "retry_s": retry_s, "statuses": statuses},
    )


def record_mined(connection: Connection, key: str, receipt: Receipt, *, final: bool) -> None:
    """A block holds one of the intent's transactions.

    ``final`` says that the block is at confirmation depth: only then does the intent become
    ``confirmed``, or ``reverted`` and free to be attempted under another key.
    """
    connection.execute(
        text("""
            update pipeline.transactions
               set broadcast_at = coalesce(broadcast_at, now()), block_number = :number,
                   block_hash = :block_hash, receipt_status = :receipt_status, gas_used = :gas,
                   effective_gas_price = :price
             where hash = :hash
        """),
        {
            "hash": receipt.hash,
            "number": receipt.block_number,
            "block_hash": receipt.block_hash,
            "receipt_status": int(receipt.succeeded),
            "gas": receipt.gas_used,
            "price": receipt.effective_gas_price,
        },
    )
    # Only one of several fee bumps is mined; a reorg may have moved the luck to another of them.
    connection.execute(
        text("""
            update pipeline.transactions
               set block_number = null, block_hash = null, receipt_status = null,
                   gas_used = null, effective_gas_price = null
             where intent_key = :key and hash <> :hash and block_number is not null
        """),
        {"key": key, "hash": receipt.hash},
    )
    status = ("confirmed" if receipt.succeeded else "reverted") if final else "mined"
    connection.execute(
        text("""
            update pipeline.intents
               set status = :status, updated_at = now(),
                   retry_at = case when status = 'mined' then retry_at end,
                   -- What was remarked on the mined intent (``note``) outlives its confirmation.
                   last_error = case when not :succeeded
                                     then 'reverted in block ' || cast(:number as text)
                                     when status = 'mined' then last_error end
             where key = :key and status in ('signed', 'broadcast', 'mined')
        """),
        {
            "key": key,
            "status": status,
            "succeeded": receipt.succeeded,
            "number": receipt.block_number,
        },
    )


def record_unmined(connection: Connection, key: str) -> None:
    """A reorg took the intent's transaction out of the chain: it has to be mined again."""
    connection.execute(
        text("""
            update pipeline.transactions
               set block_number = null, block_hash = null, receipt_status = null,
                   gas_used = null, effective_gas_price = null
             where intent_key = :key and block_number is not null
        """),
        {"key": key},
    )
    connection.execute(
        text("""
            update pipeline.intents
               set status = 'signed', updated_at = now(), retry_at = null,
                   last_error = 'a reorg took its transaction out of the chain'
             where key = :key and status = 'mined'
        """),
        {"key": key},
    )


def record_ousted(connection: Connection, key: str) -> None:
    """The intent's nonce was used by a transaction that is not ours: it may be signed anew."""
    connection.execute(
        text("update pipeline.transactions set receipt_status = :ousted where intent_key = :key"),
        {"key": key, "ousted": OUSTED},
    )
    connection.execute(
        text("""
            update pipeline.intents
               set status = 'planned', nonce = null, retry_at = null, updated_at = now(),
                   last_error = 'its nonce was used by another transaction of the same wallet'
             where key = :key and status in ('signed', 'broadcast')
        """),
        {"key": key},
    )


def record_refusal(
    connection: Connection, key: str, error: str, *, counts: bool, retry_s: float | None
) -> None:
    """A contract refused the intent, so nothing was signed.

    ``counts``: the refusal is one of the attempts. ``retry_s`` None: asking again is pointless.
    """
    connection.execute(
        text("""
            update pipeline.intents
               set status = 'refused', last_error = :error, updated_at = now(),
                   refusals = refusals + :counted,
                   -- Not 'infinity': Python has no such instant.
                   retry_at = now() + coalesce(
                       make_interval(secs => cast(:retry_s as double precision)),
                       interval '100 years')
             where key = :key and status in ('planned', 'refused')
        """),
        {"key": key, "error": error, "counted": int(counts), "retry_s": retry_s},
    )


def note(connection: Connection, key: str, error: str | None, retry_s: float) -> None:
    """Remark on a mined intent: it went through, and yet its purpose was missed (or not)."""
    connection.execute(
        text("""
            update pipeline.intents
               set last_error = :error, updated_at = now(),
                   retry_at = now() + make_interval(secs => :retry_s)
             where key = :key
        """),
        {"key": key, "error": error, "retry_s": retry_s},
    )


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
