"""Health: is what the tables say true, and is the pipeline keeping up?

A check finds violations. None is health; each one found is a row a person can act on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from lightchallenge_dagster.errors import TransientError
from lightchallenge_dagster.storage import sql

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from lightchallenge_dagster.chain.contracts import Contracts
    from lightchallenge_dagster.chain.reader import ChainReader
    from lightchallenge_dagster.chain.rpc import Rpc

#: Runbook, section 20: beyond the confirmations, more than 100 blocks behind is lagging.
LAG_LIMIT_BLOCKS = 100
#: Runbook, section 20: about 100 finalize transactions.
LOW_BALANCE_WEI = 10**17

SHOWN = 20


@dataclass(frozen=True, slots=True)
class Findings:
    """The violations of one check: ``count`` of them, the first ``SHOWN`` as rows."""

    columns: Sequence[str] = ()
    rows: Sequence[tuple[Any, ...]] = ()
    count: int = 0
    facts: Mapping[str, int | float | str] = field(default_factory=dict[str, int | float | str])

    @property
    def healthy(self) -> bool:
        """True when nothing was found."""
        return self.count == 0


def violations(engine: Engine, name: str) -> Findings:
    """The rows of ``sql/checks/<name>.sql``, each a violation."""
    with engine.connect() as connection:
        result = connection.execute(text(sql.load(f"checks/{name}")))
        columns = list(result.keys())
        rows = [tuple(row) for row in result]
    return Findings(columns, rows[:SHOWN], len(rows))


def indexer_lag(engine: Engine, reader: ChainReader, chain_id: int, confirmations: int) -> Findings:
    """How far the checkpoint is behind the head. A node that does not answer is a violation."""
    with engine.connect() as connection:
        checkpoint = connection.execute(
            text(
                "select block_number from pipeline.checkpoints"
                " where chain_id = :chain_id and stream = 'live'"
            ),
            {"chain_id": chain_id},
        ).scalar_one_or_none()
    try:
        head = reader.head().number
    except TransientError as error:
        return Findings(["problem"], [(str(error),)], 1)
    if checkpoint is None:
        return Findings(["problem", "head"], [("nothing indexed yet", head)], 1)
    lag = head - checkpoint
    facts = {"head": head, "checkpoint": checkpoint, "lag_blocks": lag}
    if lag <= LAG_LIMIT_BLOCKS + confirmations:
        return Findings(facts=facts)
    return Findings(["head", "checkpoint", "lag_blocks"], [(head, checkpoint, lag)], 1, facts)


def missing_fields(engine: Engine) -> Findings:
    """Fields that keep a challenge with a winner from being requested."""
    from lightchallenge_dagster.steps import dispatch

    missing = [
        (one.challenge_id, one.field) for one in dispatch.missing_fields(engine) if one.blocking
    ]
    return Findings(["challenge_id", "field"], missing[:SHOWN], len(missing))


def wallet_balances(rpc: Rpc, wallets: Mapping[str, str]) -> Findings:
    """Wallets (role to address) below ``LOW_BALANCE_WEI``; no answer is a violation too."""
    balances: dict[str, int] = {}
    try:
        for role, address in wallets.items():
            balances[role] = int(rpc.call("eth_getBalance", [address, "latest"]), 16)
    except TransientError as error:
        return Findings(["problem"], [(str(error),)], 1)
    low = [
        (role, wallets[role], balance)
        for role, balance in balances.items()
        if balance < LOW_BALANCE_WEI
    ]
    facts = {f"{role}_wei": str(balance) for role, balance in balances.items()}
    return Findings(["role", "wallet", "balance_wei"], low, len(low), facts)


def dispatcher_roles(contracts: Contracts, *, worker: str, finalizer: str) -> Findings:
    """Roles that are missing: the registry's for the worker, ChallengePay's for the other."""
    missing: list[tuple[str, str, str]] = []
    try:
        if not contracts.may_record_bindings(worker):
            missing.append(("worker", worker, "ChallengeTaskRegistry dispatcher"))
        if not contracts.may_submit_proofs(finalizer):
            missing.append(("finalizer", finalizer, "ChallengePay dispatcher"))
    except TransientError as error:
        return Findings(["problem"], [(str(error),)], 1)
    return Findings(["wallet", "address", "lacks"], missing, len(missing))
