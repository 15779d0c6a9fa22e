"""The outbox: whatever is sent to the chain is stored first, and asked about afterwards.

Order of events for one intent: it is written down, simulated, and then, in one database
transaction, given the signer's next nonce, signed and stored. Only then is it broadcast. So a
process may die anywhere: what was signed is in the database and is sent again as the same
transaction, what was not signed never existed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from sqlalchemy import text

from lightchallenge_dagster.chain.rpc import RpcError, RpcUnavailable
from lightchallenge_dagster.chain.sender import Fees, Sender
from lightchallenge_dagster.errors import PermanentError
from lightchallenge_dagster.rules.receipts import Receipt
from lightchallenge_dagster.storage import outbox as storage
from lightchallenge_dagster.storage.outbox import Intent, StoredIntent, StoredTransaction

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from lightchallenge_dagster.chain.revert import Revert
    from lightchallenge_dagster.chain.rpc import Rpc
    from lightchallenge_dagster.chain.signer import Signer

State = Literal["mined", "pending", "reverted", "refused", "waiting", "done"]

_RECEIPTS_PER_CALL = 100


@dataclass(frozen=True, slots=True)
class OutboxPolicy:
    """How to send. Times in seconds, money in wei.

    ``confirmations``: how deep a block counts as final. ``receipt_timeout_s``: how long ``submit``
    waits for blocks before it leaves the rest to ``resume``. ``look_again_s``: how long an
    unmined transaction is left alone. ``waiting_retry_s``: when to ask again after a refusal that
    clears by itself; other refusals back off from there to ``refusal_retry_max_s``.
    ``bump_after_s``: an unmined transaction at the head of the queue is replaced at its nonce with
    ``bump_percent`` more fee, never above ``max_fee_per_gas_wei``. No transaction carries more
    than ``max_value_wei``.
    """

    chain_id: int
    confirmations: int = 12
    receipt_timeout_s: float = 60.0
    poll_s: float = 0.5
    look_again_s: float = 15.0
    waiting_retry_s: float = 20.0
    refusal_retry_max_s: float = 300.0
    gas_margin_percent: int = 25
    bump_after_s: float = 30.0
    bump_percent: int = 25
    max_fee_per_gas_wei: int | None = None
    max_value_wei: int | None = None


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
class ResumeReport:
    """What a look at all intents in flight changed; ``pending`` are still without a block."""

    looked_at: int = 0
    broadcast: int = 0
    mined: int = 0
    confirmed: int = 0
    reverted: int = 0
    reopened: int = 0
    bumped: int = 0
    ousted: int = 0
    pending: int = 0
    errors: list[str] = field(default_factory=list[str])


def _unobserved(_boundary: str, _key: str) -> None:
    """Nobody watches."""


class _Tally:
    """Counts for a ``ResumeReport`` under way."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.errors: list[str] = []

    def add(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1


class Outbox:
    """Sends intents for the wallets it holds keys for, each at most once.

    ``observe(boundary, key)`` is called at each boundary a process may die at: ``planned``,
    ``simulated``, ``signed`` (not stored yet), ``stored``, ``sent`` (not recorded yet),
    ``broadcast``, ``receipt`` (not recorded yet), ``mined``; and with ``waiting`` every
    ``poll_s`` seconds between the last two, so that a caller can show that it is alive. What it
    raises ends the call.
    """

    def __init__(
        self,
        engine: Engine,
        rpc: Rpc,
        signers: Iterable[Signer],
        policy: OutboxPolicy,
        *,
        observe: Callable[[str, str], None] = _unobserved,
    ) -> None:
        self.policy = policy
        self._engine = engine
        self._sender = Sender(rpc)
        self._signers = {signer.address: signer for signer in signers}
        self._observe = observe
        self._chain_checked = False

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
        with self._engine.begin() as connection:
            storage.plan(connection, self.policy.chain_id, intents)
            stored = storage.by_key(connection, keys)
        for key in keys:
            self._observe("planned", key)
        outcomes: dict[str, Outcome] = {}
        fresh = [one for one in stored.values() if one.status in ("planned", "refused")]
        outcomes |= self._sign(sorted(fresh, key=lambda one: keys.index(one.intent.key)))
        outcomes |= self._follow([key for key in keys if key not in outcomes])
        return [outcomes[key] for key in keys]

    def hold(self, intents: Sequence[Intent], reason: str) -> None:
        """Write intents down without sending them: not now, ask again in ``waiting_retry_s``.

        What was signed already is not touched.
        """
        with self._engine.begin() as connection:
            storage.plan(connection, self.policy.chain_id, intents)
            for intent in intents:
                storage.record_trouble(
                    connection, intent.key, reason, self.policy.waiting_retry_s, signed=False
                )

    def refuse(self, intent: Intent, reason: str) -> None:
        """Write an intent down as refused without asking its contract: what it needs is missing.

        It is due again later and later, up to ``refusal_retry_max_s``. What was signed already is
        not touched.
        """
        with self._engine.begin() as connection:
            storage.plan(connection, self.policy.chain_id, [intent])
            known = storage.by_key(connection, [intent.key])[intent.key]
            storage.record_refusal(
                connection, intent.key, reason, counts=True, retry_s=self._backoff(known.refusals)
            )

    def remark(self, key: str, error: str) -> None:
        """Note about a mined intent that it missed its purpose, and when to see to it again."""
        with self._engine.begin() as connection:
            storage.note(connection, key, error, self.policy.waiting_retry_s)

    def resume(self) -> ResumeReport:
        """Look once at everything in flight on this chain: record, send again, reopen, replace.

        Needs no keys except for fee bumps. Raises ``RpcUnavailable`` when the node cannot say.
        """
        with self._engine.begin() as connection:
            flying = storage.in_flight(connection, self.policy.chain_id)
        tally = _Tally()
        pending = sum(outcome.state == "pending" for outcome in self._look(flying, tally).values())
        return ResumeReport(
            looked_at=len(flying), pending=pending, errors=tally.errors, **tally.counts
        )

    # ── before signing ──

    def _sign(self, fresh: Sequence[StoredIntent]) -> dict[str, Outcome]:
        """Simulate and sign; the outcomes are of those that were *not* signed."""
        outcomes: dict[str, Outcome] = {}
        wallets = dict.fromkeys(one.intent.signer for one in fresh)
        for wallet in wallets:
            mine = [one for one in fresh if one.intent.signer == wallet]
            outcomes |= self._sign_as(wallet, mine)
        return outcomes

    def _sign_as(self, wallet: str, fresh: Sequence[StoredIntent]) -> dict[str, Outcome]:
        signer = self._signers.get(wallet)
        if signer is None:
            raise PermanentError(f"no private key for the wallet {wallet}: nothing is sent as it")
        if not self._chain_checked:
            self._sender.require_chain(self.policy.chain_id)
            self._chain_checked = True
        outcomes: dict[str, Outcome] = {}
        fees, too_dear = self._affordable_fees()
        balance = self._sender.balance(wallet)
        ready: list[tuple[StoredIntent, int]] = []
        for one in fresh:
            outcome, gas = self._simulate(one, balance, too_dear)
            if outcome is None:
                ready.append((one, gas))
            else:
                outcomes[one.intent.key] = outcome
        need = sum(one.intent.value_wei + gas * fees.max_fee_per_gas for one, gas in ready)
        if need > balance:
            for one, _ in ready:
                outcomes[one.intent.key] = self._wait(one.intent, _unfunded(wallet, balance, need))
            return outcomes
        if ready:
            chain_nonce = self._sender.pending_nonce(wallet)
            for one, gas in ready:
                self._sign_one(signer, one.intent, gas, fees, chain_nonce)
        return outcomes

    def _affordable_fees(self) -> tuple[Fees, str | None]:
        """The chain's fees under our cap, and what to say where the cap is below the price."""
        fees = self._sender.fees()
        cap = self.policy.max_fee_per_gas_wei
        if cap is None or fees.max_fee_per_gas <= cap:
            return fees, None
        tip = fees.max_priority_fee_per_gas
        # An EIP-1559 maximum is twice the base fee plus the tip: there is room to cap it.
        needed = fees.max_fee_per_gas if tip is None else (fees.max_fee_per_gas + tip) // 2
        if needed <= cap:
            return replace(fees, max_fee_per_gas=cap), None
        return fees, f"gas costs {needed} wei, more than the maximum of {cap} wei"

    def _simulate(
        self, one: StoredIntent, balance: int, too_dear: str | None
    ) -> tuple[Outcome | None, int]:
        intent, policy = one.intent, self.policy
        if policy.max_value_wei is not None and intent.value_wei > policy.max_value_wei:
            return self._wait(
                intent,
                f"it carries {intent.value_wei} wei, more than the maximum of "
                f"{policy.max_value_wei} wei for one transaction",
            ), 0
        if too_dear is not None:
            return self._wait(intent, too_dear), 0
        if intent.value_wei > balance:
            return self._wait(intent, _unfunded(intent.signer, balance, intent.value_wei)), 0
        try:
            result = self._sender.simulate(intent.signer, intent.to, intent.data, intent.value_wei)
        except RpcUnavailable:
            raise
        except RpcError as error:
            return self._wait(intent, f"the node cannot simulate it: {error.message}"), 0
        self._observe("simulated", intent.key)
        if result.refused is not None:
            return self._refuse(one, result.refused), 0
        return None, result.gas * (100 + policy.gas_margin_percent) // 100

    def _wait(self, intent: Intent, error: str) -> Outcome:
        with self._engine.begin() as connection:
            storage.record_trouble(
                connection, intent.key, error, self.policy.waiting_retry_s, signed=False
            )
        return Outcome(intent.key, "waiting", error)

    def _refuse(self, one: StoredIntent, revert: Revert) -> Outcome:
        policy, key = self.policy, one.intent.key
        retry_s: float | None
        if revert.meaning == "done":
            # Asked again when the indexer should long have seen the effect, and still has not.
            state, retry_s = "done", policy.refusal_retry_max_s
        elif revert.meaning == "waiting":
            state, retry_s = "waiting", policy.waiting_retry_s
        else:
            state, retry_s = "refused", self._backoff(one.refusals)
        with self._engine.begin() as connection:
            storage.record_refusal(
                connection, key, revert.name, counts=state == "refused", retry_s=retry_s
            )
        return Outcome(key, state, revert.name, revert=revert)

    def _backoff(self, refusals: int) -> float:
        return min(
            self.policy.waiting_retry_s * 2.0 ** min(refusals, 16), self.policy.refusal_retry_max_s
        )

    def _sign_one(
        self, signer: Signer, intent: Intent, gas: int, fees: Fees, chain_nonce: int
    ) -> None:
        with self._engine.begin() as connection:
            chain_id = self.policy.chain_id
            # The intent is locked first: taking a nonce for one that is signed already, by another
            # worker, would leave a gap that blocks everything behind it.
            if not storage.lock_unsigned(connection, intent.key):
                return
            nonce = storage.take_nonce(connection, chain_id, signer.address, chain_nonce)
            signed = self._signed(signer, intent, nonce, gas, fees)
            self._observe("signed", intent.key)
            storage.record_signed(connection, chain_id, signed, self.policy.look_again_s)
        self._observe("stored", intent.key)

    def _signed(
        self, signer: Signer, intent: Intent, nonce: int, gas: int, fees: Fees
    ) -> StoredTransaction:
        transaction: dict[str, object] = {
            "chainId": self.policy.chain_id,
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
            broadcast_at=None,
            block_number=None,
            block_hash=None,
            receipt_status=None,
        )

    # ── after signing ──

    def _follow(self, keys: Sequence[str]) -> dict[str, Outcome]:
        """Broadcast what is unsent and wait for blocks, as long as the policy allows."""
        deadline = time.monotonic() + self.policy.receipt_timeout_s
        outcomes = {key: Outcome(key, "pending") for key in keys}
        tally: _Tally | None = _Tally()
        while open_keys := [key for key in keys if outcomes[key].state == "pending"]:
            try:
                outcomes |= self._look(self._load(open_keys), tally)
                tally = None
            except (RpcError, RpcUnavailable) as error:
                # Everything is stored: this asks again, and then the next resume does.
                for key in open_keys:
                    outcomes[key] = replace(outcomes[key], error=str(error))
            if time.monotonic() >= deadline:
                break
            if any(outcomes[key].state == "pending" for key in open_keys):
                self._observe("waiting", open_keys[0])
                time.sleep(self.policy.poll_s)
        return outcomes

    def _load(self, keys: Sequence[str]) -> list[StoredIntent]:
        with self._engine.begin() as connection:
            stored = storage.by_key(connection, keys)
        return sorted(stored.values(), key=lambda one: (one.intent.signer, one.nonce or 0))

    def _look(self, intents: Sequence[StoredIntent], tally: _Tally | None) -> dict[str, Outcome]:
        """Ask the chain about signed intents and record what it says.

        With a ``tally`` those without a block are also sent again, replaced or given up.
        """
        if not intents:
            return {}
        with self._engine.begin() as connection:
            found = storage.transactions(connection, [one.intent.key for one in intents])
            now: datetime = connection.execute(text("select clock_timestamp()")).scalar_one()
        receipts = self._receipts([tx.hash for txs in found.values() for tx in txs])
        head = self._sender.head_number()
        outcomes: dict[str, Outcome] = {}
        for one in intents:
            txs = found.get(one.intent.key, [])
            receipt = next((receipts[tx.hash] for tx in txs if tx.hash in receipts), None)
            if receipt is not None:
                outcomes[one.intent.key] = self._mined(one, receipt, head, tally)
            elif one.status in ("confirmed", "reverted"):
                # Final, and the node has forgotten the receipt: the database remembers.
                state: State = "mined" if one.status == "confirmed" else "reverted"
                outcomes[one.intent.key] = Outcome(
                    one.intent.key, state, one.last_error, _last_hash(txs), final=True
                )
            else:
                outcomes[one.intent.key] = self._unmined(one, txs, head, now, tally)
        return outcomes

    def _receipts(self, hashes: Sequence[str]) -> dict[str, Receipt]:
        found: dict[str, Receipt] = {}
        for start in range(0, len(hashes), _RECEIPTS_PER_CALL):
            found |= self._sender.receipts(hashes[start : start + _RECEIPTS_PER_CALL])
        return found

    def _mined(
        self, one: StoredIntent, receipt: Receipt, head: int, tally: _Tally | None
    ) -> Outcome:
        key = one.intent.key
        deep = head - receipt.block_number + 1 >= self.policy.confirmations
        # A receipt can be older than the node's own view of the chain.
        final = deep and self._sender.block_hash(receipt.block_number) == receipt.block_hash
        self._observe("receipt", key)
        if one.status not in ("confirmed", "reverted"):
            with self._engine.begin() as connection:
                storage.record_mined(connection, key, receipt, final=final)
            if tally is not None and final:
                tally.add("confirmed" if receipt.succeeded else "reverted")
            elif tally is not None and one.status != "mined":
                tally.add("mined")
        self._observe("mined", key)
        if receipt.succeeded:
            return Outcome(key, "mined", None, receipt.hash, receipt, final)
        error = f"reverted in block {receipt.block_number}"
        state: State = "reverted" if final else "pending"
        return Outcome(key, state, error, receipt.hash, receipt, final)

    def _unmined(
        self,
        one: StoredIntent,
        txs: Sequence[StoredTransaction],
        head: int,
        now: datetime,
        tally: _Tally | None,
    ) -> Outcome:
        key = one.intent.key
        if not txs:
            # Another worker found its nonce used by a foreign transaction just now.
            return Outcome(key, "waiting", one.last_error or "it has to be signed again")
        latest = txs[-1]
        if tally is None:
            return Outcome(key, "pending", one.last_error, latest.hash)
        if one.status == "mined":
            with self._engine.begin() as connection:
                storage.record_unmined(connection, key)
            tally.add("reopened")
        if (replacement := self._bump(one, latest, now)) is not None:
            latest = replacement
            tally.add("bumped")
        error = self._broadcast(latest)
        if error is None:
            tally.add("broadcast")
            return Outcome(key, "pending", None, latest.hash)
        if self._ousted(one, [*txs, latest], head):
            with self._engine.begin() as connection:
                storage.record_ousted(connection, key)
            tally.add("ousted")
            return Outcome(key, "waiting", "its nonce was used by another transaction")
        tally.errors.append(f"{key}: {error}")
        return Outcome(key, "pending", error, latest.hash)

    def _ousted(self, one: StoredIntent, txs: Sequence[StoredTransaction], head: int) -> bool:
        """Whether the nonce was used for good by a transaction that is not among ``txs``."""
        nonce = txs[-1].nonce
        depth = head - self.policy.confirmations + 1
        if depth < 0 or self._sender.nonce_at(one.intent.signer, depth) <= nonce:
            return False
        # One of ours may have been mined since the receipts were read.
        hashes = [tx.hash for tx in txs]
        return not self._receipts(hashes) and not any(map(self._sender.knows, hashes))

    def _bump(
        self, one: StoredIntent, latest: StoredTransaction, now: datetime
    ) -> StoredTransaction | None:
        """Replace a transaction that blocks pass over by one at its nonce that pays more."""
        policy = self.policy
        signer = self._signers.get(one.intent.signer)
        if latest.broadcast_at is None or signer is None:
            return None
        if now - latest.signed_at < timedelta(seconds=policy.bump_after_s):
            return None
        # Only the first in the queue can be too cheap; the others wait for it.
        head = self._sender.head_number()
        if self._sender.nonce_at(latest.signer, head) != latest.nonce:
            return None
        price = self._sender.fees()
        factor = 100 + policy.bump_percent
        raised = max(price.max_fee_per_gas, latest.max_fee_per_gas * factor // 100 + 1)
        old_tip = latest.max_priority_fee_per_gas
        tip = None if old_tip is None else max(old_tip * factor // 100 + 1, 1)
        if policy.max_fee_per_gas_wei is not None and raised > policy.max_fee_per_gas_wei:
            return None
        with self._engine.begin() as connection:
            storage.lock_signer(connection, policy.chain_id, signer.address)
            current = storage.transactions(connection, [one.intent.key]).get(one.intent.key, [])
            if not current or current[-1].hash != latest.hash:
                return None  # another worker was here first
            replacement = self._signed(
                signer, one.intent, latest.nonce, latest.gas, Fees(raised, tip)
            )
            storage.record_signed(connection, policy.chain_id, replacement, policy.look_again_s)
        return replacement

    def _broadcast(self, tx: StoredTransaction) -> str | None:
        """Hand the transaction to the node; says what is in the way, if anything is."""
        try:
            answer, words = self._sender.broadcast(tx.raw)
            self._observe("sent", tx.intent_key)
            # Whatever the node said, only what it shows counts, except for a plain yes.
            taken = answer == "accepted" or self._sender.knows(tx.hash)
        except RpcUnavailable as error:
            taken, words = False, str(error)
        with self._engine.begin() as connection:
            if taken:
                storage.record_broadcast(connection, tx, self.policy.look_again_s)
            else:
                storage.record_trouble(
                    connection, tx.intent_key, words, self.policy.look_again_s, signed=True
                )
        self._observe("broadcast", tx.intent_key)
        return None if taken else words


def _unfunded(wallet: str, balance: int, need: int) -> str:
    return f"the wallet {wallet} holds {balance} wei and needs {need}: fund it; nothing was sent"


def _last_hash(txs: Sequence[StoredTransaction]) -> str | None:
    return txs[-1].hash if txs else None


def advanceable(engine: Engine) -> list[str]:
    """Keys of intents that ``Outbox.resume`` can move on now (for sensor ticks: two cheap queries).

    A mined intent whose block the indexer has confirmed, by number and hash, is marked final here,
    so that mere confirmations launch no run. Empty while everything in flight was looked at
    recently, or waits for confirmations.
    """
    with engine.begin() as connection:
        storage.confirm_indexed(connection)
        return storage.advanceable(connection)
