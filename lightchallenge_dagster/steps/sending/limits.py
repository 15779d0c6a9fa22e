"""What the operator's limits and the wallet's coins allow."""

from __future__ import annotations

from dataclasses import replace

from lightchallenge_dagster.chain.sender import Fees
from lightchallenge_dagster.steps.sending.desk import Desk, OutboxPolicy


def most_gas(desk: Desk) -> int:
    """The gas that one transaction may ask for now."""
    return min(desk.policy.max_gas, desk.sender.block_gas_limit())


def unfunded(wallet: str, balance: int, need: int) -> str:
    """The words for a wallet that cannot pay; amounts in wei."""
    return f"the wallet {wallet} holds {balance} wei and needs {need}: fund it; nothing was sent"


def affordable(fees: Fees, cap: int | None) -> tuple[Fees, str | None]:
    """The chain's fees under our cap, and what to say where the cap is below the price."""
    if cap is None or fees.max_fee_per_gas <= cap:
        return fees, None
    tip = fees.max_priority_fee_per_gas
    # An EIP-1559 maximum is twice the base fee plus the tip: there is room to cap it.
    needed = fees.max_fee_per_gas if tip is None else (fees.max_fee_per_gas + tip) // 2
    if needed <= cap:
        return replace(fees, max_fee_per_gas=cap), None
    return fees, f"gas costs {needed} wei, more than the maximum of {cap} wei"


def raised(old: Fees, price: Fees, policy: OutboxPolicy) -> Fees | None:
    """Fees for a replacement: ``bump_percent`` more than ``old``, and what the chain asks now.

    None where that is above the cap and the cap leaves no room for the fifth more that a node wants
    before it replaces a transaction.
    """
    factor, cap = 100 + policy.bump_percent, policy.max_fee_per_gas_wei
    fee = max(price.max_fee_per_gas, old.max_fee_per_gas * factor // 100 + 1)
    if cap is not None and fee > cap:
        if cap * 100 < old.max_fee_per_gas * 120:
            return None
        fee = cap
    if old.max_priority_fee_per_gas is None:
        return Fees(fee, None)
    tip = max(old.max_priority_fee_per_gas * factor // 100 + 1, price.max_priority_fee_per_gas or 1)
    return Fees(fee, min(tip, fee))


def spend_problem(spent: int, cost: int, limit: int) -> str | None:
    """Why a request has to wait for the daily limit, if so; amounts in wei."""
    if spent + cost <= limit:
        return None
    return (
        f"requests cost {spent} wei in the last 24 hours; {cost} more is above the limit of "
        f"{limit} wei a day"
    )
