"""What became of intents: signed, broadcast, mined, refused. One write a function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import text

from lightchallenge_dagster.storage import sql
from lightchallenge_dagster.storage.outbox import OUSTED, Intent, StoredTransaction, by_key

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from lightchallenge_dagster.rules.receipts import Receipt


# ── signing ─────────────────────────────────────────────────────────────────────────────


def lock_unsigned(connection: Connection, key: str) -> Intent | None:
    """Lock an intent that may be signed now; None when another worker has signed it already."""
    if not _lock(connection, key, ["planned", "refused"]):
        return None
    return by_key(connection, [key])[key].intent


def lock_signed(connection: Connection, key: str) -> bool:
    """Lock a signed intent that no block holds yet; false when it has moved on."""
    return _lock(connection, key, ["signed", "broadcast"])


def _lock(connection: Connection, key: str, statuses: Sequence[str]) -> bool:
    """Lock an intent until the transaction ends; false when it has none of the statuses."""
    row = connection.execute(
        text("""
            select 1 from pipeline.intents
             where key = :key and status = any(:statuses) for update
        """),
        {"key": key, "statuses": list(statuses)},
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
                 max_priority_fee_per_gas, signed_block)
            values (:hash, :key, :chain_id, :signer, :nonce, :raw, :gas, :fee, :tip, :head)
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
            "head": tx.signed_block,
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


def promised_wei(connection: Connection, chain_id: int, signer: str) -> int:
    """What the signer's transactions in flight may still cost, at most: values and gas, in wei."""
    found = connection.execute(
        text("""
            select coalesce(sum(cost), 0) from (
                select max(i.value_wei + t.gas * t.max_fee_per_gas) as cost
                  from pipeline.intents i
                  join pipeline.transactions t on t.intent_key = i.key and t.nonce = i.nonce
                 where i.chain_id = :chain_id and i.signer = :signer
                   and i.status in ('signed', 'broadcast')
                 group by i.key) one
        """),
        {"chain_id": chain_id, "signer": signer},
    )
    return int(found.scalar_one())


def request_spend(connection: Connection, chain_id: int, *, lock: bool = False) -> int:
    """What AIVM requests cost in the last 24 hours, in wei: fees and gas, also those in flight.

    A request that reverted cost its gas; a fee that came back later still counts. ``lock`` keeps
    every other signer of a request waiting until the transaction ends.
    """
    if lock:
        connection.execute(
            text("select pg_advisory_xact_lock(hashtextextended('pipeline.request_spend', 0))")
        )
    found = connection.execute(text(sql.load("outbox/request_spend")), {"chain_id": chain_id})
    return int(found.scalar_one())


def confirm_indexed(connection: Connection) -> int:
    """Make mined intents final whose very block the indexer has confirmed; returns how many."""
    return connection.execute(text(sql.load("outbox/confirm_indexed"))).rowcount


def reopen_forked(connection: Connection) -> int:
    """Take up intents again that were final in a block the indexer has replaced; how many."""
    return connection.execute(text(sql.load("outbox/reopen_forked"))).scalar_one()


# ── what became of it ───────────────────────────────────────────────────────────────────


def record_broadcast(connection: Connection, tx: StoredTransaction, retry_s: float) -> None:
    """A node has taken the transaction; look again in ``retry_s`` seconds."""
    # The intent first, as everywhere: in the other order two workers wait for each other.
    connection.execute(
        text("""
            update pipeline.intents
               set status = 'broadcast', last_error = null, updated_at = now(),
                   retry_at = now() + make_interval(secs => :retry_s)
             where key = :key and status in ('signed', 'broadcast')
        """),
        {"key": tx.intent_key, "retry_s": retry_s},
    )
    connection.execute(
        text("""
            update pipeline.transactions set broadcast_at = coalesce(broadcast_at, now())
             where hash = :hash
        """),
        {"hash": tx.hash},
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
    ``confirmed``, or ``reverted`` and free to be attempted under another key. Nothing is written
    about an intent that another worker has found final, or free to be signed anew, meanwhile.
    """
    if not _lock(connection, key, ["signed", "broadcast", "mined"]):
        return
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
    """A reorg took the intent's transaction out of the chain: it has to be mined again.

    Nothing is written about an intent that is not ``mined`` any more.
    """
    if not _lock(connection, key, ["mined"]):
        return
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


def record_ousted(connection: Connection, key: str, nonce: int, foreign: str) -> bool:
    """The intent's nonce was used by the transaction ``foreign``, not ours: it may be signed anew.

    An empty transaction that was to fill a hole has nothing left to do: the hole is filled. False,
    and nothing is changed, when ``foreign`` is ours after all, or when another worker has moved the
    intent on meanwhile: to a block, or to another nonce.
    """
    found = connection.execute(
        text("""
            select exists (select from pipeline.transactions t
                            where t.hash = :foreign
                              and (t.intent_key = :key
                                   or t.receipt_status is distinct from :ousted)) as ours
              from pipeline.intents
             where key = :key and nonce = :nonce and status in ('signed', 'broadcast')
               for update
        """),
        {"key": key, "nonce": nonce, "foreign": foreign, "ousted": OUSTED},
    ).first()
    if found is None or found.ours:
        return False
    connection.execute(
        text("""
            update pipeline.transactions set receipt_status = :ousted
             where intent_key = :key and nonce = :nonce
        """),
        {"key": key, "nonce": nonce, "ousted": OUSTED},
    )
    connection.execute(
        text("""
            update pipeline.intents
               set status = case kind when 'fill' then 'reverted' else 'planned' end,
                   nonce = null, retry_at = null, updated_at = now(),
                   last_error = 'its nonce was used by ' || cast(:foreign as text)
                                || ' of the same wallet'
             where key = :key
        """),
        {"key": key, "foreign": foreign},
    )
    return True


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
