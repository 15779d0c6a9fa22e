"""How a nonce that waits is freed: by a better fee, an empty transaction, or another's proof."""

from __future__ import annotations

from collections.abc import Sequence

from lightchallenge_dagster.chain.rpc import RpcError
from lightchallenge_dagster.chain.sender import Fees
from lightchallenge_dagster.chain.signer import Signer
from lightchallenge_dagster.rules.nonces import holes
from lightchallenge_dagster.steps.sending import limits
from lightchallenge_dagster.steps.sending.desk import Desk
from lightchallenge_dagster.steps.sending.sign import signed_transaction
from lightchallenge_dagster.storage import nonces, sending
from lightchallenge_dagster.storage import outbox as storage
from lightchallenge_dagster.storage.outbox import Intent, StoredIntent, StoredTransaction

_FILLS_AT_ONCE = 16


def replacement(
    desk: Desk, one: StoredIntent, latest: StoredTransaction, head: int
) -> StoredTransaction | None:
    """Replace a transaction that blocks pass over by one at its nonce that pays more.

    Only the first in the wallet's queue can be too cheap; the others wait for it.
    """
    policy = desk.policy
    signer = desk.signers.get(latest.signer)
    if signer is None or head - (latest.signed_block or 0) < policy.bump_after_blocks:
        return None
    if desk.sender.mined_nonce(latest.signer) != latest.nonce:
        return None
    old = Fees(latest.max_fee_per_gas, latest.max_priority_fee_per_gas)
    fees = limits.raised(old, desk.sender.fees(), policy)
    if fees is None:
        return None
    most_gas = limits.most_gas(desk)
    with desk.engine.begin() as connection:
        if not sending.lock_signed(connection, one.intent.key):
            return None
        nonces.lock(connection, policy.chain_id, signer.address)
        current = storage.transactions(connection, [one.intent.key]).get(one.intent.key, [])
        if not current or current[-1].hash != latest.hash:
            return None  # another worker was here first
        # Of the first one: what a node said of its blocks once binds no later replacement.
        gas = min(max(tx.gas for tx in current), most_gas)
        made = signed_transaction(desk, signer, one.intent, latest.nonce, gas, fees, head)
        sending.record_signed(connection, policy.chain_id, made, policy.look_again_s)
    return made


def foreign_transaction(desk: Desk, txs: Sequence[StoredTransaction], head: int) -> str | None:
    """The transaction that used the nonce of ``txs`` for good and is none of them, by its hash.

    Nodes hide receipts, forget transactions and miscount, so nothing less counts than the sight of
    that transaction in a block at confirmation depth: signing anew on a mere suspicion could do
    the same thing twice.
    """
    first, nonce = txs[0], txs[0].nonce
    depth = head - desk.policy.confirmations + 1
    try:
        if depth < 0 or desk.sender.nonce_at(first.signer, depth) <= nonce:
            return None
        spender = desk.sender.spender(first.signer, nonce, first.signed_block or depth, depth)
    except RpcError:
        return None  # the node no longer keeps those states: it proves nothing
    return None if spender is None or spender in {tx.hash for tx in txs} else spender


def fill_holes(desk: Desk, head: int) -> int:
    """Take nonces that nobody holds and that keep ours waiting; returns how many.

    Such a hole is left by a program that used the same key and whose transaction was dropped, or by
    a node that miscounted. An empty transaction of the wallet to itself fills it.
    """
    filled = 0
    for signer in desk.signers.values():
        with desk.engine.begin() as connection:
            waiting = nonces.waiting(connection, desk.policy.chain_id, signer.address)
        patient = [
            nonce
            for nonce, signed_block in waiting.items()
            if head - signed_block >= desk.policy.bump_after_blocks
        ]
        if patient:
            filled += _fill(desk, signer, max(patient), head)
    return filled


def _fill(desk: Desk, signer: Signer, below: int, head: int) -> int:
    mined = desk.sender.mined_nonce(signer.address)
    with desk.engine.begin() as connection:
        held = nonces.held(connection, desk.policy.chain_id, signer.address, mined)
    if not holes(mined, [nonce for nonce in held if nonce <= below]):
        return 0
    fees, too_dear = limits.affordable(desk.sender.fees(), desk.policy.max_fee_per_gas_wei)
    gas = desk.sender.simulate(signer.address, signer.address, "0x", 0).gas
    if too_dear is not None or gas == 0:
        return 0
    with desk.engine.begin() as connection:
        nonces.lock(connection, desk.policy.chain_id, signer.address)
        held = nonces.held(connection, desk.policy.chain_id, signer.address, mined)
        filled = 0
        for nonce in holes(mined, [nonce for nonce in held if nonce <= below])[:_FILLS_AT_ONCE]:
            intent = _empty(desk.policy.chain_id, signer.address, nonce)
            storage.plan(connection, desk.policy.chain_id, [intent])
            if sending.lock_unsigned(connection, intent.key) == intent:
                made = signed_transaction(desk, signer, intent, nonce, gas, fees, head)
                sending.record_signed(connection, desk.policy.chain_id, made, 0)
                filled += 1
    return filled


def _empty(chain_id: int, wallet: str, nonce: int) -> Intent:
    return Intent(f"fill:{chain_id}:{wallet}:{nonce}", "fill", wallet, wallet, "0x")
