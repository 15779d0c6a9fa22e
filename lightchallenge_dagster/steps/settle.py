"""Bind and prove settled winners, and unbind whoever is bound and does not win.

A binding is a payment order (PROTOCOL.md), so it is written for settled winners only, and the
first one freezes the ranking in the same transaction. A proof goes out once the challenge's
request is finalized with the expected response; what counts as success is ``WinnerMarked`` or
``isWinner``, never a transaction that merely went through.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightchallenge_dagster.steps.settling.bindings import bind
from lightchallenge_dagster.steps.settling.noting import record_transactions
from lightchallenge_dagster.steps.settling.proving import prove
from lightchallenge_dagster.steps.settling.report import SettlePolicy, SettleReport
from lightchallenge_dagster.steps.settling.run import Run
from lightchallenge_dagster.steps.settling.state import State, Work

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from lightchallenge_dagster.chain.contracts import Contracts
    from lightchallenge_dagster.steps.outbox import Outbox

__all__ = ["SettlePolicy", "SettleReport", "Work", "record_transactions", "settle", "unsettled"]


def unsettled(engine: Engine, chain_now_ts: int) -> list[Work]:
    """What can be sent for bindings and proofs at ``chain_now_ts`` (epoch seconds, chain time).

    A handful of queries, no node. Empty while everything waits: for the network, for a retry time,
    for a transaction in flight, or for the indexer to see one that was mined.
    """
    with engine.begin() as connection:
        return State.read(connection, chain_now_ts).work()


def settle(
    engine: Engine,
    contracts: Contracts,
    outbox: Outbox,
    chain_now_ts: int,
    policy: SettlePolicy,
) -> SettleReport:
    """Send the bindings and proofs that are due, and record what came of them.

    Raises ``RpcUnavailable`` when the node fails before anything fresh was signed.
    """
    outbox.resume()
    record_transactions(engine, contracts)
    run = Run(engine, contracts, outbox, chain_now_ts, policy)
    bind(run)
    prove(run)
    return run.report
