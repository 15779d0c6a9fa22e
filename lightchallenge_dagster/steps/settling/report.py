"""What settling is told, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightchallenge_dagster.steps.outbox import Outcome


@dataclass(frozen=True, slots=True)
class SettlePolicy:
    """``binder`` writes bindings, ``prover`` submits proofs (wallets, lowercase).

    Proofs of one challenge go out together in as few transactions as take at most half a block's
    gas and ``max_batch_gas`` each, the outbox's margin included. ``only``: these challenges.
    """

    binder: str
    prover: str
    max_batch_gas: int = 15_000_000
    only: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class SettleReport:
    """Wallets as "42:0xab…" by what became of them.

    ``proved``: marked as winner by our transaction. ``won_already``: somebody else's proof counted.
    ``refused``: with the failing condition, as "42:0xab…: it has no binding on chain".
    """

    bound: list[str] = field(default_factory=list[str])
    cleared: list[str] = field(default_factory=list[str])
    proved: list[str] = field(default_factory=list[str])
    won_already: list[str] = field(default_factory=list[str])
    pending: list[str] = field(default_factory=list[str])
    waiting: list[str] = field(default_factory=list[str])
    refused: list[str] = field(default_factory=list[str])
    frozen: list[int] = field(default_factory=list[int])
    proof_transactions: list[str] = field(default_factory=list[str])

    def add_other(self, name: str, outcome: Outcome) -> None:
        """Sort in what is not simply mined."""
        if outcome.state == "pending":
            self.pending.append(name)
        elif outcome.state == "waiting":
            self.waiting.append(f"{name}: {outcome.error}")
        elif outcome.state == "done":
            self.won_already.append(name)
        else:
            self.refused.append(f"{name}: {outcome.error}")


def wallet_name(challenge_id: int, subject: str | None) -> str:
    """How reports name one wallet of one challenge."""
    return f"{challenge_id}:{subject}"
