"""What became of a signed transaction: asked of the chain, and never assumed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from lightchallenge_dagster.chain.rpc import RpcError, RpcUnavailable
from lightchallenge_dagster.rules.receipts import Receipt
from lightchallenge_dagster.steps.sending import free
from lightchallenge_dagster.steps.sending.desk import Desk, Outcome, State, Tally
from lightchallenge_dagster.storage import outbox as storage
from lightchallenge_dagster.storage import sending
from lightchallenge_dagster.storage.outbox import StoredIntent, StoredTransaction

_RECEIPTS_PER_CALL = 100
_NO_KEY_AGAIN_S = 600.0


def follow(desk: Desk, keys: Sequence[str]) -> dict[str, Outcome]:
    """Broadcast what is unsent and wait for blocks, as long as the policy allows."""
    deadline = time.monotonic() + desk.policy.receipt_timeout_s
    outcomes = {key: Outcome(key, "pending") for key in keys}
    tally: Tally | None = Tally()
    while open_keys := [key for key in keys if outcomes[key].state == "pending"]:
        try:
            outcomes |= look(desk, _load(desk, open_keys), tally)
            tally = None
        except (RpcError, RpcUnavailable) as error:
            # Everything is stored: this asks again, and then the next resume does.
            for key in open_keys:
                outcomes[key] = replace(outcomes[key], error=str(error))
        if time.monotonic() >= deadline:
            break
        if any(outcomes[key].state == "pending" for key in open_keys):
            desk.observe("waiting", open_keys[0])
            time.sleep(desk.policy.poll_s)
    return outcomes


def look(desk: Desk, intents: Sequence[StoredIntent], tally: Tally | None) -> dict[str, Outcome]:
    """Ask the chain about signed intents and record what it says.

    With a ``tally`` those without a block are also sent again, replaced or given up.
    """
    if not intents:
        return {}
    with desk.engine.begin() as connection:
        found = storage.transactions(connection, [one.intent.key for one in intents])
    receipts = _receipts(desk, [tx.hash for txs in found.values() for tx in txs])
    head, blocks = desk.sender.branch([one.block_number for one in receipts.values()])
    # A node can show a receipt that is older than its own view of the chain.
    standing = {
        tx_hash: one
        for tx_hash, one in receipts.items()
        if blocks.get(one.block_number) == one.block_hash
    }
    outcomes: dict[str, Outcome] = {}
    for one in intents:
        txs = found.get(one.intent.key, [])
        receipt = next((standing[tx.hash] for tx in txs if tx.hash in standing), None)
        if receipt is not None:
            outcomes[one.intent.key] = _mined(desk, one, receipt, head, tally)
        elif one.status in ("confirmed", "reverted"):
            # Final, and the node has forgotten the receipt: the database remembers.
            state: State = "mined" if one.status == "confirmed" else "reverted"
            outcomes[one.intent.key] = Outcome(
                one.intent.key, state, one.last_error, txs[-1].hash if txs else None, final=True
            )
        else:
            outcomes[one.intent.key] = _unmined(desk, one, txs, head, tally)
    return outcomes


def _load(desk: Desk, keys: Sequence[str]) -> list[StoredIntent]:
    with desk.engine.begin() as connection:
        stored = storage.by_key(connection, keys)
    return sorted(stored.values(), key=lambda one: (one.intent.signer, one.nonce or 0))


def _receipts(desk: Desk, hashes: Sequence[str]) -> dict[str, Receipt]:
    found: dict[str, Receipt] = {}
    for start in range(0, len(hashes), _RECEIPTS_PER_CALL):
        found |= desk.sender.receipts(hashes[start : start + _RECEIPTS_PER_CALL])
    return found


def _mined(
    desk: Desk, one: StoredIntent, receipt: Receipt, head: int, tally: Tally | None
) -> Outcome:
    key = one.intent.key
    final = head - receipt.block_number + 1 >= desk.policy.confirmations
    desk.observe("receipt", key)
    if one.status not in ("confirmed", "reverted"):
        with desk.engine.begin() as connection:
            sending.record_mined(connection, key, receipt, final=final)
        if tally is not None and final:
            tally.add("confirmed" if receipt.succeeded else "reverted")
        elif tally is not None and one.status != "mined":
            tally.add("mined")
    desk.observe("mined", key)
    if receipt.succeeded:
        return Outcome(key, "mined", None, receipt.hash, receipt, final)
    error = f"reverted in block {receipt.block_number}"
    state: State = "reverted" if final else "pending"
    return Outcome(key, state, error, receipt.hash, receipt, final)


def _unmined(
    desk: Desk,
    one: StoredIntent,
    txs: Sequence[StoredTransaction],
    head: int,
    tally: Tally | None,
) -> Outcome:
    key = one.intent.key
    if not txs:
        # Another worker found its nonce used by a foreign transaction just now.
        return Outcome(key, "waiting", one.last_error or "it has to be signed again")
    latest = txs[-1]
    if tally is None:
        return Outcome(key, "pending", one.last_error, latest.hash)
    if one.status == "mined":
        with desk.engine.begin() as connection:
            sending.record_unmined(connection, key)
        tally.add("reopened")
    if (replacement := free.replacement(desk, one, latest, head)) is not None:
        latest = replacement
        tally.add("bumped")
    error = _broadcast(desk, latest)
    if error is None:
        tally.add("broadcast")
        return Outcome(key, "pending", None, latest.hash)
    foreign = free.foreign_transaction(desk, [*txs, latest], head)
    if foreign is not None:
        with desk.engine.begin() as connection:
            gone = sending.record_ousted(connection, key, latest.nonce, foreign)
        if gone:
            tally.add("ousted")
            return Outcome(key, "waiting", f"its nonce was used by {foreign}")
    tally.errors.append(f"{key}: {error}")
    return Outcome(key, "pending", error, latest.hash)


def _broadcast(desk: Desk, tx: StoredTransaction) -> str | None:
    """Hand the transaction to the node; says what is in the way, if anything is."""
    try:
        answer, words = desk.sender.broadcast(tx.raw)
        desk.observe("sent", tx.intent_key)
        # Whatever the node said, only what it shows counts, except for a plain yes.
        taken = answer == "accepted" or desk.sender.knows(tx.hash)
    except RpcUnavailable as error:
        taken, words = False, str(error)
    # Of a wallet whose key is not here the same bytes can be sent again, and nothing else done.
    again_s = desk.policy.look_again_s if tx.signer in desk.signers else _NO_KEY_AGAIN_S
    with desk.engine.begin() as connection:
        if taken:
            sending.record_broadcast(connection, tx, again_s)
        else:
            sending.record_trouble(connection, tx.intent_key, words, again_s, signed=True)
    desk.observe("broadcast", tx.intent_key)
    return None if taken else words
