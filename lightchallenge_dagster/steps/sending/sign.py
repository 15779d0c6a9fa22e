"""From an intent to a stored, signed transaction; or to the reason why there is none."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lightchallenge_dagster.chain.rpc import RpcError, RpcUnavailable
from lightchallenge_dagster.errors import PermanentError
from lightchallenge_dagster.rules.backoff import delay_s
from lightchallenge_dagster.steps.sending import limits
from lightchallenge_dagster.steps.sending.desk import Desk, Outcome, Preview, State
from lightchallenge_dagster.storage import nonces, sending
from lightchallenge_dagster.storage.outbox import Intent, StoredIntent, StoredTransaction

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from lightchallenge_dagster.chain.revert import Revert
    from lightchallenge_dagster.chain.sender import Fees
    from lightchallenge_dagster.chain.signer import Signer


@dataclass(frozen=True, slots=True)
class _Wallet:
    """A wallet about to sign, and what the node said about it and the chain just now."""

    signer: Signer
    fees: Fees
    head: int
    mined: int
    pending: int


def sign_all(desk: Desk, fresh: Sequence[StoredIntent]) -> dict[str, Outcome]:
    """Simulate and sign, wallet by wallet; the outcomes are of those that were *not* signed."""
    outcomes: dict[str, Outcome] = {}
    for wallet in dict.fromkeys(one.intent.signer for one in fresh):
        outcomes |= _sign_as(desk, wallet, [one for one in fresh if one.intent.signer == wallet])
    return outcomes


def signed_transaction(
    desk: Desk, signer: Signer, intent: Intent, nonce: int, gas: int, fees: Fees, head: int
) -> StoredTransaction:
    """Sign the intent's call at ``nonce``. Nothing is stored."""
    transaction: dict[str, object] = {
        "chainId": desk.policy.chain_id,
        "nonce": nonce,
        "to": intent.to,
        "data": intent.data,
        "value": intent.value_wei,
        "gas": gas,
    }
    if fees.max_priority_fee_per_gas is None:
        transaction["gasPrice"] = fees.max_fee_per_gas
    else:
        transaction["maxFeePerGas"] = fees.max_fee_per_gas
        transaction["maxPriorityFeePerGas"] = fees.max_priority_fee_per_gas
    signed = signer.sign(transaction)
    return StoredTransaction(
        hash=signed.hash,
        intent_key=intent.key,
        signer=signer.address,
        nonce=nonce,
        raw=signed.raw,
        gas=gas,
        max_fee_per_gas=fees.max_fee_per_gas,
        max_priority_fee_per_gas=fees.max_priority_fee_per_gas,
        signed_at=datetime.now(UTC),
        signed_block=head,
        broadcast_at=None,
        block_number=None,
        block_hash=None,
        receipt_status=None,
    )


def backoff_s(desk: Desk, refusals: int) -> float:
    """Seconds before a refused intent is tried again."""
    policy = desk.policy
    luck = random.random()
    return delay_s(refusals, policy.waiting_retry_s, policy.refusal_retry_max_s, luck)


def wait(desk: Desk, intent: Intent, error: str) -> Outcome:
    """Leave an unsigned intent for later, and say why."""
    with desk.engine.begin() as connection:
        sending.record_trouble(
            connection, intent.key, error, desk.policy.waiting_retry_s, signed=False
        )
    return Outcome(intent.key, "waiting", error)


def _sign_as(desk: Desk, wallet: str, fresh: Sequence[StoredIntent]) -> dict[str, Outcome]:
    signer = desk.signers.get(wallet)
    if signer is None:
        raise PermanentError(f"no private key for the wallet {wallet}: nothing is sent as it")
    head = desk.sender.head_number()
    fees, too_dear = limits.affordable(desk.sender.fees(), desk.policy.max_fee_per_gas_wei)
    with desk.engine.begin() as connection:
        promised = sending.promised_wei(connection, desk.policy.chain_id, wallet)
    balance = desk.sender.balance(wallet) - promised
    most_gas = limits.most_gas(desk)
    outcomes = _without_contract(desk, fresh)
    ready: list[tuple[StoredIntent, int]] = []
    for one in fresh:
        if one.intent.key in outcomes:
            continue
        outcome, gas = _simulate(desk, one, balance, too_dear, most_gas)
        if outcome is None:
            ready.append((one, gas))
        else:
            outcomes[one.intent.key] = outcome
    need = sum(one.intent.value_wei + gas * fees.max_fee_per_gas for one, gas in ready)
    if need > balance:
        for one, _ in ready:
            outcomes[one.intent.key] = wait(
                desk, one.intent, limits.unfunded(wallet, balance, need)
            )
        return outcomes
    if ready:
        mined, pending = desk.sender.mined_nonce(wallet), desk.sender.pending_nonce(wallet)
        state = _Wallet(signer, fees, head, mined, pending)
        for one, gas in ready:
            if (outcome := _sign_one(desk, state, one.intent, gas)) is not None:
                outcomes[one.intent.key] = outcome
    return outcomes


def _without_contract(desk: Desk, fresh: Sequence[StoredIntent]) -> dict[str, Outcome]:
    """Calls to addresses where nobody is at home: they would succeed, and the coins be lost."""
    calls = [one.intent for one in fresh if one.intent.data != "0x"]
    empty = desk.sender.without_code({intent.to for intent in calls}) if calls else set[str]()
    return {
        intent.key: wait(
            desk,
            intent,
            f"no contract is at {intent.to}: check the configured address and LCAI_CHAIN_ID",
        )
        for intent in calls
        if intent.to in empty
    }


def _simulate(
    desk: Desk, one: StoredIntent, balance: int, too_dear: str | None, most_gas: int
) -> tuple[Outcome | None, int]:
    intent, policy = one.intent, desk.policy
    if policy.max_value_wei is not None and intent.value_wei > policy.max_value_wei:
        return wait(
            desk,
            intent,
            f"it carries {intent.value_wei} wei, more than the maximum of "
            f"{policy.max_value_wei} wei for one transaction",
        ), 0
    if too_dear is not None:
        return wait(desk, intent, too_dear), 0
    if intent.value_wei > balance:
        error = limits.unfunded(intent.signer, balance, intent.value_wei)
        return wait(desk, intent, error), 0
    try:
        result = desk.sender.simulate(intent.signer, intent.to, intent.data, intent.value_wei)
    except RpcUnavailable:
        raise
    except RpcError as error:
        return wait(desk, intent, f"the node cannot simulate it: {error.message}"), 0
    desk.observe("simulated", intent.key)
    if result.refused is not None:
        return _refuse(desk, one, result.refused), 0
    if result.gas > most_gas:
        # Whoever creates a challenge chooses its verifier, and what its model is called.
        return _too_much_gas(desk, one, result.gas, most_gas), 0
    return None, min(result.gas * (100 + policy.gas_margin_percent) // 100, most_gas)


def _too_much_gas(desk: Desk, one: StoredIntent, gas: int, most_gas: int) -> Outcome:
    if gas <= desk.policy.max_gas:
        # What blocks hold is the chain's to change, and a node's to misstate.
        error = f"it takes {gas} gas, more than the {most_gas} of a block"
        return wait(desk, one.intent, error)
    error = f"it takes {gas} gas, more than the {desk.policy.max_gas} that a transaction may take"
    with desk.engine.begin() as connection:
        sending.record_refusal(
            connection, one.intent.key, error, counts=True, retry_s=backoff_s(desk, one.refusals)
        )
    return Outcome(one.intent.key, "refused", error)


def _refuse(desk: Desk, one: StoredIntent, revert: Revert) -> Outcome:
    policy, key = desk.policy, one.intent.key
    state: State
    if revert.meaning == "done":
        # Asked again when the indexer should long have seen the effect, and still has not.
        state, retry_s = "done", policy.refusal_retry_max_s
    elif revert.meaning == "waiting":
        state, retry_s = "waiting", policy.waiting_retry_s
    else:
        state, retry_s = "refused", backoff_s(desk, one.refusals)
    with desk.engine.begin() as connection:
        sending.record_refusal(
            connection, key, revert.name, counts=state == "refused", retry_s=retry_s
        )
    return Outcome(key, state, revert.name, revert=revert)


def _sign_one(desk: Desk, wallet: _Wallet, intent: Intent, gas: int) -> Outcome | None:
    chain_id, fees = desk.policy.chain_id, wallet.fees
    preview = Preview(intent, gas, fees.max_fee_per_gas)
    with desk.engine.begin() as connection:
        # The intent is locked first: taking a nonce for one that is signed already, by another
        # worker, would leave a hole that blocks everything behind it.
        current = sending.lock_unsigned(connection, intent.key)
        if current is None:
            return None
        if current != intent:
            # Another pipeline on this database wrote it down otherwise: what is signed is stored.
            return Outcome(intent.key, "waiting", "it was planned anew meanwhile")
        problem = _over_limit(desk, connection, preview)
        if problem is None and not desk.dry_run:
            nonce = nonces.take(
                connection, chain_id, intent.signer, mined=wallet.mined, pending=wallet.pending
            )
            signed = signed_transaction(desk, wallet.signer, intent, nonce, gas, fees, wallet.head)
            desk.observe("signed", intent.key)
            sending.record_signed(connection, chain_id, signed, desk.policy.look_again_s)
    if problem is not None:
        return wait(desk, intent, problem)
    if desk.dry_run:
        desk.previews.append(preview)
        return Outcome(intent.key, "pending")
    desk.observe("stored", intent.key)
    return None


def _over_limit(desk: Desk, connection: Connection, preview: Preview) -> str | None:
    """Why a request has to wait for the daily limit; the limit is locked while it is compared."""
    limit = desk.policy.max_request_spend_per_day_wei
    if limit is None or preview.intent.kind != "request":
        return None
    spent = sending.request_spend(connection, desk.policy.chain_id, lock=not desk.dry_run)
    spent += sum(one.cost_wei for one in desk.previews if one.intent.kind == "request")
    return limits.spend_problem(spent, preview.cost_wei, limit)
