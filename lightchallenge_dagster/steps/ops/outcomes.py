"""Outcomes of finalized challenges that the indexer never saw finalized.

The runbook's backfillChainOutcome: for a database that is older than our first indexed block.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lightchallenge_dagster.chain import batches
from lightchallenge_dagster.chain.contracts import STATUS_FINALIZED
from lightchallenge_dagster.storage import ops

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from lightchallenge_dagster.chain.contracts import Contracts, OnChainChallenge

_WORDS = {0: "None", 1: "Success", 2: "Fail"}


@dataclass(frozen=True, slots=True)
class OutcomeLine:
    """One finalized challenge without an outcome; ``problem`` says why it was left as it is."""

    challenge_id: int
    outcome: str | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class OutcomeReport:
    """``written`` outcomes as of block ``block``, and ``left`` challenges."""

    block: int
    written: int
    left: int
    lines: list[OutcomeLine] = field(default_factory=list[OutcomeLine])


def backfill_chain_outcome(
    engine: Engine, contracts: Contracts, confirmations: int
) -> OutcomeReport:
    """Write ``chain_outcome`` of the challenges that are Finalized and have none.

    Read at a confirmed block, many in one request. A row that got an outcome meanwhile keeps it.
    Raises ``RpcUnavailable`` when the node cannot say; nothing is written then.
    """
    block = max(0, int(contracts.rpc.call("eth_blockNumber", []), 16) - confirmations)
    with engine.begin() as connection:
        missing = ops.without_outcome(connection)
    on_chain = batches.challenges(contracts, missing, block)
    lines = [_line(challenge_id, on_chain[challenge_id]) for challenge_id in missing]
    found = {
        one.challenge_id: on_chain[one.challenge_id].outcome for one in lines if one.problem is None
    }
    with engine.begin() as connection:
        written = ops.write_outcomes(connection, found)
    return OutcomeReport(block, written, len(lines) - written, lines)


def _line(challenge_id: int, found: OnChainChallenge) -> OutcomeLine:
    if not found.exists:
        return OutcomeLine(challenge_id, None, "this ChallengePay knows no such challenge")
    if found.status != STATUS_FINALIZED:
        word = "Canceled" if found.status else "Active"
        return OutcomeLine(challenge_id, None, f"it is {word} on chain: run reconcile")
    return OutcomeLine(challenge_id, _WORDS.get(found.outcome, str(found.outcome)))
