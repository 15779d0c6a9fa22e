"""Which proofs ChallengePay would take right now, and what the others lack.

A proof that the verifier refuses does not revert: it fails silently (PROTOCOL.md). So each is
shown to the verifier before it is sent, and whoever is refused is named with the condition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lightchallenge_dagster.chain import abi
from lightchallenge_dagster.chain.contracts import (
    REQUEST_FINALIZED,
    STATUS_ACTIVE,
    CallReverted,
    NotAContract,
)
from lightchallenge_dagster.chain.rpc import RpcError, RpcUnavailable
from lightchallenge_dagster.rules.gates import proof_window
from lightchallenge_dagster.rules.prompt import SCHEMA_VERSION, hash32
from lightchallenge_dagster.rules.proof import Proof, expected_response_hash
from lightchallenge_dagster.steps.settling.report import wallet_name
from lightchallenge_dagster.steps.settling.unwritable import (
    NO_DATA,
    refuse_unwritable,
)
from lightchallenge_dagster.storage.outbox import Intent

if TYPE_CHECKING:
    from lightchallenge_dagster.chain.contracts import (
        Contracts,
        OnChainBinding,
        OnChainChallenge,
        OnChainRequest,
    )
    from lightchallenge_dagster.steps.settling.run import Run
    from lightchallenge_dagster.steps.settling.state import State
    from lightchallenge_dagster.storage.rankings import Winner
    from lightchallenge_dagster.storage.settlement import Request, Settling


@dataclass(frozen=True, slots=True)
class Ready:
    """One proof that the verifier accepts right now, as an intent of its own."""

    subject: str
    proof: bytes
    intent: Intent


def preflight(
    run: Run, state: State, one: Settling, request: Request, subjects: Sequence[str]
) -> list[Ready]:
    """The proofs of one challenge that would be taken; the others are noted with what they lack."""
    contracts, outbox, report = run.contracts, run.outbox, run.report
    challenge_id = one.challenge_id
    winners = {winner.subject: winner for winner in state.winners[challenge_id]}
    challenge = contracts.get_challenge(challenge_id)
    shut = _shut(challenge, contracts.latest_timestamp())
    standing = contracts.standing(challenge_id, subjects)
    bindings = contracts.bindings(challenge_id, subjects)
    found: list[Ready] = []
    for subject in subjects:
        name = wallet_name(challenge_id, subject)
        intent = _blank(run, state, challenge_id, subject)
        try:
            proof = _proof(challenge_id, winners[subject], request, bindings[subject])
            data = abi.challengepay("submitProofFor").encode(challenge_id, subject, proof)
        except abi.UNWRITABLE as error:
            refuse_unwritable(run, intent, error)
            continue
        intent = replace(intent, data=data)
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
            found.append(Ready(subject, proof, intent))
    if not found:
        return []
    return _verified(run, challenge.verifier, challenge_id, request, found)


def _shut(challenge: OnChainChallenge, latest_ts: int) -> str | None:
    """Why ChallengePay takes no proof for the challenge now, None when it does."""
    if challenge.status != STATUS_ACTIVE:
        return "NotActive"
    if challenge.paused:
        return "ChallengePaused"
    window = proof_window(challenge.start_ts, challenge.proof_deadline_ts, latest_ts)
    return None if window.open else window.reason


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


def _blank(run: Run, state: State, challenge_id: int, subject: str) -> Intent:
    """The intent that one proof is submitted by, without its calldata."""
    return Intent(
        key=state.key(challenge_id, f"proof:{challenge_id}:{subject}"),
        kind="proof",
        signer=run.policy.prover,
        to=run.contracts.addresses.challengepay,
        data=NO_DATA,
        challenge_id=challenge_id,
        subject=subject,
    )


def _verified(
    run: Run, verifier: str, challenge_id: int, request: Request, found: Sequence[Ready]
) -> list[Ready]:
    """Those that the challenge's own verifier accepts.

    Whoever creates a challenge chooses its verifier. One that breaks or never ends its work stops
    the proofs of this challenge, and of no other.
    """
    contracts, outbox, report = run.contracts, run.outbox, run.report
    try:
        accepted = contracts.verify_each(
            verifier, challenge_id, {one.subject: one.proof for one in found}
        )
    except (CallReverted, NotAContract) as error:
        for one in found:
            outbox.refuse(one.intent, str(error))
            report.refused.append(f"{wallet_name(challenge_id, one.subject)}: {error}")
        return []
    except (RpcError, RpcUnavailable) as error:
        if isinstance(error, RpcUnavailable) and verifier == contracts.addresses.poi_verifier:
            raise
        outbox.hold([one.intent for one in found], f"its verifier {verifier}: {error}")
        report.waiting.extend(f"{wallet_name(challenge_id, one.subject)}: {error}" for one in found)
        return []
    for one in found:
        if not accepted[one.subject]:
            why = _why(contracts, challenge_id, one.subject, request)
            outbox.refuse(one.intent, why)
            report.refused.append(f"{wallet_name(challenge_id, one.subject)}: {why}")
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
    if differing := _differing(binding, on_chain):
        return f"its binding's {' and '.join(differing)} is not the request's"
    count, quorum, _ = contracts.attestations(on_chain.task_id)
    if count < quorum:
        return f"request {request.request_id} is attested by {count} of {quorum} validators"
    return "the verifier refuses its proof"


def _differing(binding: OnChainBinding, request: OnChainRequest) -> list[str]:
    pairs = {
        "taskId": (binding.task_id, request.task_id),
        "modelDigest": (binding.model_digest, request.model_digest),
        "paramsHash": (binding.params_hash, request.det_config_hash),
        "schemaVersion": (binding.schema_version, SCHEMA_VERSION),
    }
    return [name for name, (bound, requested) in pairs.items() if bound != requested]
