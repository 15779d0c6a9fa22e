"""What the outbox's parts share: how to send, what came of it, and who watches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from lightchallenge_dagster.chain.revert import Revert
    from lightchallenge_dagster.chain.sender import Sender
    from lightchallenge_dagster.chain.signer import Signer
    from lightchallenge_dagster.rules.receipts import Receipt
    from lightchallenge_dagster.storage.outbox import Intent

State = Literal["mined", "pending", "reverted", "refused", "waiting", "done"]
Observe = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class OutboxPolicy:
    """How to send. Times in seconds, money in wei.

    ``confirmations``: how deep a block counts as final. ``receipt_timeout_s``: how long ``submit``
    waits for blocks before it leaves the rest to ``resume``. ``look_again_s``: how long an
    unmined transaction is left alone. ``waiting_retry_s``: when to ask again after a refusal that
    clears by itself; other refusals back off from there to ``refusal_retry_max_s``.
    ``bump_after_blocks``: an unmined transaction at the head of the queue is replaced at its nonce
    with ``bump_percent`` more fee, never above ``max_fee_per_gas_wei``. No transaction carries more
    than ``max_value_wei``, or asks for more gas than ``max_gas`` (below the 2^24 of EIP-7825) or
    than a block holds: no node would mine it, and its nonce would keep all others waiting.
    ``max_request_spend_per_day_wei``: what AIVM requests may cost within 24
    hours, fees and gas; nothing else is held back by it.
    """

    chain_id: int
    confirmations: int = 12
    receipt_timeout_s: float = 60.0
    poll_s: float = 0.5
    look_again_s: float = 15.0
    waiting_retry_s: float = 20.0
    refusal_retry_max_s: float = 300.0
    gas_margin_percent: int = 25
    max_gas: int = 16_000_000
    bump_after_blocks: int = 3
    bump_percent: int = 25
    max_fee_per_gas_wei: int | None = None
    max_value_wei: int | None = None
    max_request_spend_per_day_wei: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one intent.

    ``mined``: a block holds it and the EVM succeeded (``receipt`` has its logs, ``final`` says
    whether it is at confirmation depth). ``pending``: it was sent, and no block answers for it yet.
    ``reverted``: it failed for good. ``refused``: the contract would not have it (``revert``), so
    nothing was signed. ``waiting``: nothing was signed either, and it will be possible later.
    ``done``: the contract says that the effect is there already.
    """

    key: str
    state: State
    error: str | None = None
    tx_hash: str | None = None
    receipt: Receipt | None = None
    final: bool = False
    revert: Revert | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """A transaction that a dry run would have signed; money in wei, fees in wei per gas."""

    intent: Intent
    gas: int
    max_fee_per_gas: int

    @property
    def cost_wei(self) -> int:
        """The most it can cost: what it carries, and all its gas at the highest fee."""
        return self.intent.value_wei + self.gas * self.max_fee_per_gas


@dataclass(frozen=True, slots=True)
class ResumeReport:
    """What a look at all intents in flight changed; ``pending`` are still without a block.

    ``filled``: nonces that nobody held and that kept others waiting, taken by empty transactions.
    """

    looked_at: int = 0
    broadcast: int = 0
    mined: int = 0
    confirmed: int = 0
    reverted: int = 0
    reopened: int = 0
    bumped: int = 0
    ousted: int = 0
    filled: int = 0
    pending: int = 0
    errors: list[str] = field(default_factory=list[str])


class Tally:
    """Counts for a ``ResumeReport`` under way."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.errors: list[str] = []

    def add(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1


@dataclass(frozen=True, slots=True)
class Desk:
    """Where transactions are written: the database, the node, the wallets, the rules."""

    engine: Engine
    sender: Sender
    signers: Mapping[str, Signer]
    policy: OutboxPolicy
    observe: Observe
    dry_run: bool = False
    previews: list[Preview] = field(default_factory=list[Preview])
