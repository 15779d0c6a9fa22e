"""Bind and prove settled winners, and unbind whoever is bound and does not win.

A binding is a payment order (PROTOCOL.md), so it is written for settled winners only, and the
first one freezes the ranking in the same transaction. A proof goes out once the challenge's
request is finalized with the expected response; what counts as success is ``WinnerMarked`` or
``isWinner``, never a transaction that merely went through.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from lightchallenge_dagster.chain import abi
from lightchallenge_dagster.chain.contracts import (
    REQUEST_FINALIZED,
    STATUS_ACTIVE,
    CallReverted,
    Contracts,
    NotAContract,
    OnChainBinding,
)
from lightchallenge_dagster.rules.gates import proof_window
from lightchallenge_dagster.rules.prompt import SCHEMA_VERSION, hash32
from lightchallenge_dagster.rules.proof import Proof, expected_response_hash
from lightchallenge_dagster.steps.outbox import Outbox, Outcome
from lightchallenge_dagster.storage import outbox as stored
from lightchallenge_dagster.storage import proof_fields, rankings, settlement, verdicts
from lightchallenge_dagster.storage.outbox import Attempt, Intent
from lightchallenge_dagster.storage.rankings import Winner
from lightchallenge_dagster.storage.settlement import Bound, Request, Settling

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from lightchallenge_dagster.rules.receipts import Receipt

Action = Literal["bind", "clear", "proof"]


@dataclass(frozen=True, slots=True)
class SettlePolicy:
    """``binder`` writes bindings, ``prover`` submits proofs (wallets, lowercase).

    Two or more proofs of one challenge go out together, at most ``proof_batch`` at a time.
    """

    binder: str
    prover: str
    proof_batch: int = 25


@dataclass(frozen=True, slots=True)
class Work:
    """One wallet of one challenge, and what is to be sent for it."""

    challenge_id: int
    subject: str
    action: Action


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


def unsettled(engine: Engine, chain_now_ts: int) -> list[Work]:
    """What can be sent for bindings and proofs at ``chain_now_ts`` (epoch seconds, chain time).

    A handful of queries, no node. Empty while everything waits: for the network, for a retry time,
    for a transaction in flight, or for the indexer to see one that was mined.
    """
    with engine.begin() as connection:
        return _State.read(connection, chain_now_ts).work()


def record_transactions(engine: Engine) -> int:
    """Note mined transactions in ``challenges.proof``, also of runs that died; rows changed.

    Call it after ``Outbox.resume``.
    """
    with engine.begin() as connection:
        return proof_fields.record_transactions(connection)


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
    record_transactions(engine)
    report = SettleReport()
    _bind(engine, contracts, outbox, chain_now_ts, policy, report)
    _prove(engine, contracts, outbox, chain_now_ts, policy, report)
    return report


# ── what is to be done ──────────────────────────────────────────────────────────────────


def _answers(request: Request, challenge_id: int) -> bool:
    """Whether the request is finalized with the response that proves a winner."""
    return request.status == "finalized" and request.response_hash == expected_response_hash(
        challenge_id
    )


def _useless(request: Request, challenge_id: int) -> bool:
    return request.status == "finalized" and not _answers(request, challenge_id)


def _wanted(request: Request) -> Bound:
    """The binding a winner needs: what the request was made with, so that the three agree."""
    return Bound(
        request_id=request.request_id,
        task_id=request.task_id,
        model_digest=request.model_digest,
        params_hash=request.det_config_hash,
        schema_version=SCHEMA_VERSION,
    )


def _proved_subjects(attempt: Attempt) -> tuple[str, ...]:
    """Whose proof a proof intent carries: one subject, or those in a batch's calldata."""
    if attempt.subject is not None:
        return (attempt.subject,)
    _, subjects, _ = abi.challengepay("submitProofForBatch").decode_input(attempt.intent.data)
    return subjects


@dataclass(frozen=True, slots=True)
class _State:
    """Everything the tables say about settling, and the decision from it."""

    chain_now_ts: int
    settling: Sequence[Settling]
    winners: Mapping[int, Sequence[Winner]]
    bindings: Mapping[tuple[int, str], Bound]
    chain_winners: set[tuple[int, str]]
    unjudged: set[tuple[int, str]]
    outdated: set[tuple[int, str]]
    attempts: Mapping[int, Sequence[Attempt]]
    indexed_to: int

    @classmethod
    def read(cls, connection: Connection, chain_now_ts: int, *, lock: bool = False) -> _State:
        """Read the tables; ``lock`` holds the verdicts until the transaction ends."""
        settling = settlement.settling(connection, chain_now_ts)
        ids = [one.challenge_id for one in settling]
        winners: dict[int, list[Winner]] = {}
        now = datetime.fromtimestamp(chain_now_ts, UTC)
        if ids:
            for one in rankings.settled_winners(connection, ids, now, lock=lock):
                winners.setdefault(one.challenge_id, []).append(one)
        chain_winners = settlement.chain_winners(connection, ids)
        by_verdict = {
            winner.challenge_id
            for of_challenge in winners.values()
            for winner in of_challenge
            if winner.rank is None and (winner.challenge_id, winner.subject) not in chain_winners
        }
        outdated = (
            verdicts.pending(connection, challenge_ids=sorted(by_verdict)) if by_verdict else []
        )
        attempts: dict[int, list[Attempt]] = {}
        for attempt in stored.attempts(connection, ids, ["bind", "clear", "proof"]):
            attempts.setdefault(attempt.challenge_id or 0, []).append(attempt)
        return cls(
            chain_now_ts=chain_now_ts,
            settling=settling,
            winners=winners,
            bindings=settlement.bindings(connection, ids),
            chain_winners=chain_winners,
            unjudged=settlement.passing(connection, ids, unjudged=True),
            outdated={(one.challenge_id, one.subject) for one in outdated},
            attempts=attempts,
            indexed_to=settlement.indexed_to(connection),
        )

    def work(self) -> list[Work]:
        """What is to be sent now: winners first, in their order, then the bindings to clear."""
        return [work for one in self.settling for work in self._work_of(one)]

    def _work_of(self, one: Settling) -> Iterator[Work]:
        challenge_id, request = one.challenge_id, one.request
        winners = [winner.subject for winner in self.winners.get(challenge_id, ())]
        window = proof_window(one.start_ts, one.proof_deadline_ts, self.chain_now_ts)
        for subject in winners:
            if request is None or (challenge_id, subject) in self.chain_winners:
                continue
            bound, settled = self.binding(challenge_id, subject)
            if not settled or _useless(request, challenge_id):
                continue
            if bound != _wanted(request):
                if (challenge_id, subject) in self.outdated:
                    continue  # it passed by an older rule: no order before it was judged again
                base = f"bind:{challenge_id}:{subject}:{request.request_id}"
                if not self._waiting(challenge_id, base):
                    yield Work(challenge_id, subject, "bind")
            elif (
                window.open
                and _answers(request, challenge_id)
                and self._provable(challenge_id, subject)
            ):
                yield Work(challenge_id, subject, "proof")
        for subject in self._bound_subjects(challenge_id):
            if subject in winners or (challenge_id, subject) in self.chain_winners:
                continue
            if (challenge_id, subject) in self.unjudged:
                continue  # an earlier worker's winner: left as it is until it was judged
            bound, settled = self.binding(challenge_id, subject)
            if settled and bound is not None:
                base = f"clear:{challenge_id}:{subject}:{bound.request_id}"
                if not self._waiting(challenge_id, base):
                    yield Work(challenge_id, subject, "clear")

    def ranked(self) -> set[int]:
        """Challenges whose winners a ranking names; others may have one left from another mode."""
        return {
            challenge_id
            for challenge_id, winners in self.winners.items()
            if any(winner.rank is not None for winner in winners)
        }

    def binding(self, challenge_id: int, subject: str) -> tuple[Bound | None, bool]:
        """The subject's binding on chain as far as is known, and whether it is at rest.

        A mined intent that the indexer has not reached yet knows better than the table.
        """
        latest = next(
            (
                attempt
                for attempt in reversed(self.attempts.get(challenge_id, ()))
                if attempt.intent.kind in ("bind", "clear")
                and attempt.subject == subject
                and attempt.unseen(self.indexed_to)
            ),
            None,
        )
        if latest is None:
            return self.bindings.get((challenge_id, subject)), True
        if latest.status in ("signed", "broadcast") or latest.failing:
            return None, False
        if latest.intent.kind == "clear":
            return None, True
        values = abi.task_registry("recordBinding").decode_input(latest.intent.data)
        _, _, request_id, task_id, model_digest, params_hash, _, version = values
        return Bound(request_id, task_id, model_digest, params_hash, version), True

    def _bound_subjects(self, challenge_id: int) -> list[str]:
        indexed = {subject for one, subject in self.bindings if one == challenge_id}
        ordered = {
            attempt.subject
            for attempt in self.attempts.get(challenge_id, ())
            if attempt.intent.kind == "bind" and attempt.subject is not None
        }
        return sorted(indexed | ordered)

    def _named(self, challenge_id: int, base: str) -> list[Attempt]:
        return [
            attempt
            for attempt in self.attempts.get(challenge_id, ())
            if attempt.key == base or attempt.key.startswith(f"{base}:")
        ]

    def _waiting(self, challenge_id: int, base: str) -> bool:
        return any(attempt.waiting for attempt in self._named(challenge_id, base))

    def key(self, challenge_id: int, base: str) -> str:
        """The key for the next attempt at ``base``: the last one's until it was signed."""
        named = self._named(challenge_id, base)
        if not named:
            return base
        return f"{base}:{len(named) + 1}" if named[-1].signed else named[-1].key

    def batch_key(self, challenge_id: int) -> str:
        """The key for the next batch of proofs."""
        named = self._named(challenge_id, f"proof:{challenge_id}:batch")
        if named and not named[-1].signed:
            return named[-1].key
        return f"proof:{challenge_id}:batch:{len(named) + 1}"

    def _provable(self, challenge_id: int, subject: str) -> bool:
        """Whether a proof may be sent: none is on its way or done, and none is to wait."""
        covering = [
            attempt
            for attempt in self.attempts.get(challenge_id, ())
            if attempt.intent.kind == "proof" and subject in _proved_subjects(attempt)
        ]
        if any(attempt.waiting for attempt in covering):
            return False
        unseen = [attempt for attempt in covering if attempt.unseen(self.indexed_to)]
        if not unseen:
            return True
        if any(attempt.status not in ("mined", "confirmed") for attempt in unseen):
            return False
        # Mined, and the subject is known to have been refused in it: it may be tried again.
        single = [attempt for attempt in covering if attempt.subject == subject]
        return bool(single) and single[-1].last_error is not None and not single[-1].failing


# ── bindings ────────────────────────────────────────────────────────────────────────────


def _name(challenge_id: int, subject: str) -> str:
    return f"{challenge_id}:{subject}"


def _bind(
    engine: Engine,
    contracts: Contracts,
    outbox: Outbox,
    chain_now_ts: int,
    policy: SettlePolicy,
    report: SettleReport,
) -> None:
    registry = contracts.addresses.task_registry
    intents: list[Intent] = []
    with engine.begin() as connection:
        # The verdicts are held from here on, and the ranking freezes with the intents.
        state = _State.read(connection, chain_now_ts, lock=True)
        settling = {one.challenge_id: one for one in state.settling}
        for work in state.work():
            one, subject = settling[work.challenge_id], work.subject
            if work.action == "bind" and one.request is not None:
                intents.append(_bind_intent(state, one, one.request, subject, registry, policy))
            elif work.action == "clear":
                intents.append(_clear_intent(state, one, subject, registry, policy))
        for challenge_id in sorted(
            {i.challenge_id or 0 for i in intents if i.kind == "bind"} & state.ranked()
        ):
            if rankings.freeze(connection, challenge_id):
                report.frozen.append(challenge_id)
        stored.plan(connection, outbox.policy.chain_id, intents)
    needed = [
        intent
        for challenge_id in dict.fromkeys(intent.challenge_id or 0 for intent in intents)
        for intent in _still_needed(
            contracts,
            outbox,
            challenge_id,
            [one for one in intents if one.challenge_id == challenge_id],
            report,
        )
    ]
    for intent, outcome in zip(needed, outbox.submit(needed), strict=True):
        name = _name(intent.challenge_id or 0, intent.subject or "")
        if outcome.state == "mined":
            (report.bound if intent.kind == "bind" else report.cleared).append(name)
        else:
            _report_other(name, outcome, report)
    if needed:
        record_transactions(engine)


def _bind_intent(
    state: _State,
    one: Settling,
    request: Request,
    subject: str,
    registry: str,
    policy: SettlePolicy,
) -> Intent:
    base = f"bind:{one.challenge_id}:{subject}:{request.request_id}"
    return Intent(
        key=state.key(one.challenge_id, base),
        kind="bind",
        signer=policy.binder,
        to=registry,
        data=abi.task_registry("recordBinding").encode(
            one.challenge_id,
            subject,
            request.request_id,
            request.task_id,
            request.model_digest,
            request.det_config_hash,
            hash32(one.benchmark_hash),
            SCHEMA_VERSION,
        ),
        challenge_id=one.challenge_id,
        subject=subject,
    )


def _clear_intent(
    state: _State, one: Settling, subject: str, registry: str, policy: SettlePolicy
) -> Intent:
    bound = state.binding(one.challenge_id, subject)[0]
    base = f"clear:{one.challenge_id}:{subject}:{bound.request_id if bound else 0}"
    return Intent(
        key=state.key(one.challenge_id, base),
        kind="clear",
        signer=policy.binder,
        to=registry,
        data=abi.task_registry("clearBinding").encode(one.challenge_id, subject),
        challenge_id=one.challenge_id,
        subject=subject,
    )


def _still_needed(
    contracts: Contracts,
    outbox: Outbox,
    challenge_id: int,
    intents: Sequence[Intent],
    report: SettleReport,
) -> list[Intent]:
    """Those of one challenge's bindings that the chain itself does not make pointless.

    The tables lag behind the chain by its confirmations.
    """
    subjects = [intent.subject or "" for intent in intents]
    standing = contracts.standing(challenge_id, subjects)
    bindings = contracts.bindings(challenge_id, subjects)
    needed: list[Intent] = []
    for intent, subject in zip(intents, subjects, strict=True):
        wei, won = standing[subject]
        name = _name(challenge_id, subject)
        if won:
            outbox.hold([intent], "AlreadyWinner")
            report.won_already.append(name)
        elif intent.kind == "bind" and wei == 0:
            outbox.refuse(intent, "NotEligible")
            report.refused.append(f"{name}: NotEligible")
        elif _is_there(intent, bindings[subject]):
            outbox.hold([intent], "it is so on chain already")
            report.waiting.append(f"{name}: the indexer has not seen its binding yet")
        else:
            needed.append(intent)
    return needed


def _is_there(intent: Intent, binding: OnChainBinding | None) -> bool:
    if intent.kind == "clear":
        return binding is None
    if binding is None:
        return False
    values = abi.task_registry("recordBinding").decode_input(intent.data)
    return values[2:] == (
        binding.request_id,
        binding.task_id,
        binding.model_digest,
        binding.params_hash,
        binding.benchmark_hash,
        binding.schema_version,
    )


def _report_other(name: str, outcome: Outcome, report: SettleReport) -> None:
    """Sort everything that is not simply mined into the report."""
    if outcome.state == "pending":
        report.pending.append(name)
    elif outcome.state == "waiting":
        report.waiting.append(f"{name}: {outcome.error}")
    elif outcome.state == "done":
        report.won_already.append(name)
    else:
        report.refused.append(f"{name}: {outcome.error}")


# ── proofs ──────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Ready:
    """One proof that the verifier accepts right now, as an intent of its own."""

    subject: str
    proof: bytes
    intent: Intent


def _prove(
    engine: Engine,
    contracts: Contracts,
    outbox: Outbox,
    chain_now_ts: int,
    policy: SettlePolicy,
    report: SettleReport,
) -> None:
    with engine.begin() as connection:
        state = _State.read(connection, chain_now_ts)
    todo: dict[int, list[str]] = {}
    for work in state.work():
        if work.action == "proof":
            todo.setdefault(work.challenge_id, []).append(work.subject)
    ready: dict[int, list[_Ready]] = {}
    batches: dict[str, list[_Ready]] = {}
    intents: list[Intent] = []
    for one in state.settling:
        challenge_id = one.challenge_id
        if challenge_id not in todo or one.request is None:
            continue
        ready[challenge_id] = _ready(
            state, contracts, outbox, one, one.request, todo[challenge_id], policy, report
        )
        group = ready[challenge_id][: policy.proof_batch]
        if len(group) == 1:
            intents.append(group[0].intent)
            batches[group[0].intent.key] = group
        elif group:
            batch = _batch_intent(state, contracts, challenge_id, group, policy)
            intents.append(batch)
            batches[batch.key] = group
    again: list[_Ready] = []
    for intent, outcome in zip(intents, outbox.submit(intents), strict=True):
        group = batches[intent.key]
        if outcome.state in ("refused", "done") and intent.subject is None:
            # One entry spoils a whole batch; alone, each is refused or paid for itself.
            again.extend(group)
        else:
            _record_proofs(engine, contracts, outbox, intent, outcome, group, report)
    singles = [one.intent for one in again]
    for one, outcome in zip(again, outbox.submit(singles), strict=True):
        _record_proofs(engine, contracts, outbox, one.intent, outcome, [one], report)
    if intents:
        record_transactions(engine)


def _ready(
    state: _State,
    contracts: Contracts,
    outbox: Outbox,
    one: Settling,
    request: Request,
    subjects: Sequence[str],
    policy: SettlePolicy,
    report: SettleReport,
) -> list[_Ready]:
    """The proofs that ChallengePay would take now; the others are noted with what they lack."""
    challenge_id = one.challenge_id
    winners = {winner.subject: winner for winner in state.winners[challenge_id]}
    challenge = contracts.get_challenge(challenge_id)
    standing = contracts.standing(challenge_id, subjects)
    bindings = contracts.bindings(challenge_id, subjects)
    shut = _shut(challenge.status, challenge.paused)
    if shut is None:
        window = proof_window(
            challenge.start_ts, challenge.proof_deadline_ts, contracts.latest_timestamp()
        )
        shut = None if window.open else window.reason
    found: list[_Ready] = []
    for subject in subjects:
        name = _name(challenge_id, subject)
        binding = bindings[subject]
        proof = _proof(challenge_id, winners[subject], request, binding)
        intent = _proof_intent(state, contracts, challenge_id, subject, proof, policy)
        wei, won = standing[subject]
        if won:
            outbox.hold([intent], "AlreadyWinner")
            report.won_already.append(name)
        elif shut is not None:
            outbox.hold([intent], shut)
            report.waiting.append(f"{name}: {shut}")
        elif wei == 0:
            outbox.refuse(intent, "NotEligible")
            report.refused.append(f"{name}: NotEligible")
        else:
            found.append(_Ready(subject, proof, intent))
    return _verified(contracts, outbox, challenge.verifier, challenge_id, request, found, report)


def _shut(status: int, paused: bool) -> str | None:
    if status != STATUS_ACTIVE:
        return "NotActive"
    return "ChallengePaused" if paused else None


def _proof(
    challenge_id: int, winner: Winner, request: Request, binding: OnChainBinding | None
) -> bytes:
    return Proof(
        request_id=request.request_id,
        task_id=request.task_id,
        challenge_id=challenge_id,
        subject=winner.subject,
        score=winner.score,
        evidence_hash=winner.evidence_hash,
        # The verifier compares it with the binding's, whatever the row says by now.
        benchmark_hash=hash32(binding.benchmark_hash if binding else None),
        evaluated_ts=int(winner.updated_at.timestamp()),
        model_digest=request.model_digest,
        params_hash=request.det_config_hash,
    ).encode()


def _proof_intent(
    state: _State,
    contracts: Contracts,
    challenge_id: int,
    subject: str,
    proof: bytes,
    policy: SettlePolicy,
) -> Intent:
    return Intent(
        key=state.key(challenge_id, f"proof:{challenge_id}:{subject}"),
        kind="proof",
        signer=policy.prover,
        to=contracts.addresses.challengepay,
        data=abi.challengepay("submitProofFor").encode(challenge_id, subject, proof),
        challenge_id=challenge_id,
        subject=subject,
    )


def _batch_intent(
    state: _State,
    contracts: Contracts,
    challenge_id: int,
    group: Sequence[_Ready],
    policy: SettlePolicy,
) -> Intent:
    return Intent(
        key=state.batch_key(challenge_id),
        kind="proof",
        signer=policy.prover,
        to=contracts.addresses.challengepay,
        data=abi.challengepay("submitProofForBatch").encode(
            challenge_id, [one.subject for one in group], [one.proof for one in group]
        ),
        challenge_id=challenge_id,
    )


def _verified(
    contracts: Contracts,
    outbox: Outbox,
    verifier: str,
    challenge_id: int,
    request: Request,
    found: Sequence[_Ready],
    report: SettleReport,
) -> list[_Ready]:
    """Those that the challenge's own verifier accepts: a refused proof would fail silently."""
    if not found:
        return []
    try:
        accepted = contracts.verify_each(
            verifier, challenge_id, {one.subject: one.proof for one in found}
        )
    except (CallReverted, NotAContract) as error:
        for one in found:
            outbox.refuse(one.intent, str(error))
            report.refused.append(f"{_name(challenge_id, one.subject)}: {error}")
        return []
    for one in found:
        if not accepted[one.subject]:
            why = _why(contracts, challenge_id, one.subject, request)
            outbox.refuse(one.intent, why)
            report.refused.append(f"{_name(challenge_id, one.subject)}: {why}")
    return [one for one in found if accepted[one.subject]]


def _why(contracts: Contracts, challenge_id: int, subject: str, request: Request) -> str:
    """The first of the verifier's conditions that does not hold on chain."""
    binding = contracts.get_binding(challenge_id, subject)
    if binding is None:
        return "it has no binding on chain"
    if binding.request_id != request.request_id:
        return f"it is bound to request {binding.request_id}, not {request.request_id}"
    on_chain = contracts.request(request.request_id)
    if on_chain.status != REQUEST_FINALIZED:
        return f"request {request.request_id} is not finalized on chain"
    if on_chain.response_hash != expected_response_hash(challenge_id):
        return f"request {request.request_id} was answered with another response"
    if (binding.model_digest, binding.params_hash) != (
        on_chain.model_digest,
        on_chain.det_config_hash,
    ):
        return "its binding's modelDigest or paramsHash is not the request's"
    count, quorum, _ = contracts.attestations(on_chain.task_id)
    if count < quorum:
        return f"request {request.request_id} is attested by {count} of {quorum} validators"
    return "the verifier refuses its proof"


def _record_proofs(
    engine: Engine,
    contracts: Contracts,
    outbox: Outbox,
    intent: Intent,
    outcome: Outcome,
    group: Sequence[_Ready],
    report: SettleReport,
) -> None:
    """Believe only ``WinnerMarked``: a proof that the verifier refuses does not revert."""
    challenge_id = intent.challenge_id or 0
    if outcome.state != "mined":
        for one in group:
            _report_other(_name(challenge_id, one.subject), outcome, report)
        return
    report.proof_transactions.append(outcome.tx_hash or "")
    marked = _marked(contracts.addresses.challengepay, challenge_id, outcome.receipt)
    for one in group:
        name = _name(challenge_id, one.subject)
        if one.subject in marked:
            report.proved.append(name)
            continue
        why = "its proof was submitted and not accepted"
        if intent.subject is None:
            outbox.refuse(one.intent, why)
        else:
            outbox.remark(intent.key, why)
        report.refused.append(f"{name}: {why}")
    winners = contracts.get_challenge(challenge_id).winners_count
    with engine.begin() as connection:
        proof_fields.merge(connection, challenge_id, {"proofsSubmitted": winners})


def _marked(challengepay: str, challenge_id: int, receipt: Receipt | None) -> set[str]:
    """The wallets that a transaction's ``WinnerMarked`` logs name for the challenge."""
    return {
        "0x" + log.topics[2][-40:]
        for log in (receipt.logs if receipt is not None else ())
        if log.address == challengepay
        and log.topics[0] == abi.WINNER_MARKED
        and int(log.topics[1], 16) == challenge_id
    }
