"""The outbox: whatever is sent to the chain is stored first, and asked about afterwards.

Order of events for one intent: it is written down, simulated, and then, in one database
transaction, given the signer's next nonce, signed and stored. Only then is it broadcast. So a
process may die anywhere: what was signed is in the database and is sent again as the same
transaction, what was not signed never existed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from lightchallenge_dagster.chain.sender import Sender
from lightchallenge_dagster.steps.sending import sign
from lightchallenge_dagster.steps.sending.desk import (
    Desk,
    Observe,
    OutboxPolicy,
    Outcome,
    Preview,
    ResumeReport,
    State,
    Tally,
)
from lightchallenge_dagster.steps.sending.follow import follow, look
from lightchallenge_dagster.steps.sending.free import fill_holes
from lightchallenge_dagster.storage import outbox as storage
from lightchallenge_dagster.storage import sending
from lightchallenge_dagster.storage.outbox import Intent, StoredIntent

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from lightchallenge_dagster.chain.rpc import Rpc
    from lightchallenge_dagster.chain.signer import Signer

__all__ = [
    "Outbox",
    "OutboxPolicy",
    "Outcome",
    "Preview",
    "ResumeReport",
    "State",
    "advanceable",
]


def _unobserved(_boundary: str, _key: str) -> None:
    """Nobody watches."""


class Outbox:
    """Sends intents for the wallets it holds keys for, each at most once.

    ``observe(boundary, key)`` is called at each boundary a process may die at: ``planned``,
    ``simulated``, ``signed`` (not stored yet), ``stored``, ``sent`` (not recorded yet),
    ``broadcast``, ``receipt`` (not recorded yet), ``mined``; by the steps with ``noted`` when they
    have written down what came of it; and with ``waiting`` every ``poll_s`` seconds while blocks
    are waited for, so that a caller can show that it is alive. What it raises ends the call.

    With ``dry_run`` nothing is signed or sent: ``previews`` collects what would have been. Give it
    the engine of a ``storage.rehearsal``, so that nothing is written either.
    """

    def __init__(
        self,
        engine: Engine,
        rpc: Rpc,
        signers: Iterable[Signer],
        policy: OutboxPolicy,
        *,
        observe: Observe = _unobserved,
        dry_run: bool = False,
    ) -> None:
        self.policy = policy
        self._desk = Desk(
            engine,
            Sender(rpc),
            {signer.address: signer for signer in signers},
            policy,
            observe,
            dry_run,
        )
        self._chain_checked = False

    @property
    def dry_run(self) -> bool:
        """Whether nothing is signed or sent."""
        return self._desk.dry_run

    @property
    def previews(self) -> Sequence[Preview]:
        """What a dry run would have signed, in its order."""
        return self._desk.previews

    def signs_as(self, wallet: str) -> bool:
        """Whether the wallet's key is here."""
        return wallet in self._desk.signers

    def watched(self, beat: Callable[[], None]) -> Outbox:
        """The same outbox, which also calls ``beat`` at every boundary and while it waits."""
        observe = self._desk.observe

        def both(boundary: str, key: str) -> None:
            beat()
            observe(boundary, key)

        other = copy(self)
        other._desk = replace(self._desk, observe=both)
        return other

    def reached(self, boundary: str, key: str) -> None:
        """Tell the observer that a step came to a boundary of its own (``noted``)."""
        self._desk.observe(boundary, key)

    def submit(self, intents: Sequence[Intent]) -> list[Outcome]:
        """Bring intents onto the chain, or find out that they are there; in the order given.

        An intent that was signed before is never signed again: the chain is asked about it. Fresh
        ones are simulated, signed with successive nonces, broadcast together, and waited for until
        ``receipt_timeout_s``. Raises ``RpcUnavailable`` when the node fails before anything fresh
        was signed, ``PermanentError`` for a wallet without a key or a node on another chain.
        """
        if not intents:
            return []
        keys = [intent.key for intent in intents]
        with self._desk.engine.begin() as connection:
            storage.plan(connection, self.policy.chain_id, intents)
            stored = storage.by_key(connection, keys)
        for key in keys:
            self._desk.observe("planned", key)
        fresh = [one for one in stored.values() if one.status in ("planned", "refused")]
        if fresh:
            self._require_chain()
        outcomes = sign.sign_all(
            self._desk, sorted(fresh, key=lambda one: keys.index(one.intent.key))
        )
        rest = [key for key in keys if key not in outcomes]
        outcomes |= _untouched(stored, rest) if self.dry_run else follow(self._desk, rest)
        return [outcomes[key] for key in keys]

    def hold(self, intents: Sequence[Intent], reason: str, retry_s: float | None = None) -> None:
        """Write intents down without sending them: not now, ask again in ``retry_s`` seconds.

        By default in ``waiting_retry_s``.

        What was signed already is not touched.
        """
        with self._desk.engine.begin() as connection:
            storage.plan(connection, self.policy.chain_id, intents)
            for intent in intents:
                again_s = self.policy.waiting_retry_s if retry_s is None else retry_s
                sending.record_trouble(connection, intent.key, reason, again_s, signed=False)

    def refuse(self, intent: Intent, reason: str) -> None:
        """Write an intent down as refused without asking its contract: what it needs is missing.

        It is due again later and later, up to ``refusal_retry_max_s``. What was signed already is
        not touched.
        """
        with self._desk.engine.begin() as connection:
            storage.plan(connection, self.policy.chain_id, [intent])
            known = storage.by_key(connection, [intent.key])[intent.key]
            retry_s = sign.backoff_s(self._desk, known.refusals)
            sending.record_refusal(connection, intent.key, reason, counts=True, retry_s=retry_s)

    def remark(self, key: str, error: str) -> None:
        """Note about a mined intent that it missed its purpose, and when to see to it again."""
        with self._desk.engine.begin() as connection:
            sending.note(connection, key, error, self.policy.waiting_retry_s)

    def resume(self, *, only_own: bool = False) -> ResumeReport:
        """Look once at everything in flight on this chain: record, send again, reopen, replace.

        Needs no keys except for replacements and for filling holes among the nonces. ``only_own``:
        what other wallets sent is left to those who hold their keys. Raises ``RpcUnavailable`` when
        the node cannot say, ``PermanentError`` for a node on another chain.
        """
        if self.dry_run:
            return ResumeReport()
        with self._desk.engine.begin() as connection:
            sending.reopen_forked(connection)
            flying = self._flying(connection, only_own)
        if not flying:
            return ResumeReport()
        self._require_chain()
        tally = Tally()
        if filled := fill_holes(self._desk, self._desk.sender.head_number()):
            with self._desk.engine.begin() as connection:
                flying = self._flying(connection, only_own)
        outcomes = look(self._desk, flying, tally)
        pending = sum(outcome.state == "pending" for outcome in outcomes.values())
        return ResumeReport(
            looked_at=len(flying),
            pending=pending,
            filled=filled,
            errors=tally.errors,
            **tally.counts,
        )

    def _flying(self, connection: Connection, only_own: bool) -> list[StoredIntent]:
        found = storage.in_flight(connection, self.policy.chain_id)
        return [one for one in found if not only_own or self.signs_as(one.intent.signer)]

    def _require_chain(self) -> None:
        if not self._chain_checked:
            self._desk.sender.require_chain(self.policy.chain_id)
            self._chain_checked = True


def _untouched(stored: dict[str, StoredIntent], keys: Sequence[str]) -> dict[str, Outcome]:
    """What the database says of intents that a dry run leaves alone."""
    return {
        key: Outcome(key, "pending", f"a dry run: it is {stored[key].status} already")
        for key in keys
    }


def advanceable(engine: Engine) -> list[str]:
    """Keys of intents that ``Outbox.resume`` can move on now (for sensor ticks: cheap queries).

    A mined intent whose block the indexer has confirmed, by number and hash, is marked final here,
    so that mere confirmations launch no run; one that was final in a block which the indexer has
    replaced is taken up again. Empty while everything in flight was looked at recently, or waits
    for confirmations.
    """
    with engine.begin() as connection:
        sending.reopen_forked(connection)
        sending.confirm_indexed(connection)
        return storage.advanceable(connection)
