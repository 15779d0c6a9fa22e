"""Make the AIVM request of each queued job: one live request per challenge, exactly once.

The request's intent key is ``request:<challenge>:<n>``. As long as attempt *n* is not lost for
good, a worker that comes back to the job finds its transaction and takes the request's id and
task from the receipt, whoever sent it and whatever died in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from uuid import uuid4

from lightchallenge_dagster.chain import abi
from lightchallenge_dagster.chain.contracts import (
    REQUEST_FINALIZED,
    STATUS_ACTIVE,
    STATUS_FINALIZED,
    Contracts,
    OnChainRequest,
)
from lightchallenge_dagster.rules.prompt import Prompt, is_hash32
from lightchallenge_dagster.rules.proof import expected_response_hash
from lightchallenge_dagster.steps.outbox import Outbox, Outcome
from lightchallenge_dagster.storage import jobs, leases, rankings, sending
from lightchallenge_dagster.storage import outbox as stored
from lightchallenge_dagster.storage.jobs import RequestFacts
from lightchallenge_dagster.storage.outbox import Intent

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from lightchallenge_dagster.rules.receipts import Receipt
    from lightchallenge_dagster.storage.rankings import Winner


@dataclass(frozen=True, slots=True)
class RequestPolicy:
    """``worker``: the wallet that requests (lowercase); ``request_fee_wei`` goes with each request.

    ``max_attempts`` refusals by the contract make a job ``dead``. ``batch``: jobs per run.
    ``lease_s``: how long a job stays taken after its worker died.
    """

    worker: str
    request_fee_wei: int = 10**15
    max_attempts: int = 10
    batch: int = 20
    lease_s: float = 120.0


@dataclass(frozen=True, slots=True)
class RequestReport:
    """Challenges by what became of their job; ``errors`` says why, as "42: InsufficientFee"."""

    submitted: list[int] = field(default_factory=list[int])
    pending: list[int] = field(default_factory=list[int])
    waiting: list[int] = field(default_factory=list[int])
    failed: list[int] = field(default_factory=list[int])
    dead: list[int] = field(default_factory=list[int])
    ended: list[int] = field(default_factory=list[int])
    errors: list[str] = field(default_factory=list[str])


def requestable(engine: Engine) -> list[int]:
    """Challenges whose job can be brought forward now (one cheap query).

    Empty while all jobs wait: for a retry time, for a transaction in flight, for another worker.
    """
    with engine.begin() as connection:
        wrong = {one.challenge_id for one in jobs.misnoted(connection)}
        return [*jobs.requestable(connection), *sorted(wrong)]


def request_inferences(
    engine: Engine,
    contracts: Contracts,
    outbox: Outbox,
    policy: RequestPolicy,
    challenge_ids: Sequence[int] | None = None,
) -> RequestReport:
    """Send the requests of due jobs and note those that are on chain.

    ``challenge_ids`` narrows the work to those jobs. Raises ``RpcUnavailable`` when the node fails
    before anything was signed; the jobs are then taken up again after their lease.
    """
    outbox.resume()
    _note_again(engine)
    taken = _take(engine, policy, challenge_ids)
    report = RequestReport()
    try:
        intents = _intents(engine, contracts, outbox, policy, list(taken), report)
        for outcome, challenge_id in zip(
            outbox.submit(list(intents.values())), intents, strict=True
        ):
            _settle_job(engine, contracts, policy, challenge_id, outcome, report)
    finally:
        with engine.begin() as connection:
            for challenge_id, token in taken.items():
                leases.release(connection, _lease(challenge_id), token)
    return report


def _note_again(engine: Engine) -> None:
    """Correct the jobs whose request came out of a reorg with another id."""
    with engine.begin() as connection:
        for one in jobs.misnoted(connection):
            jobs.record_submitted(
                connection,
                one.challenge_id,
                request_id=one.request_id,
                task_id=one.task_id,
                tx_hash=one.tx_hash,
                worker=one.worker,
                again=True,
            )


def _lease(challenge_id: int) -> str:
    return f"aivm_job:{challenge_id}"


def _take(
    engine: Engine, policy: RequestPolicy, challenge_ids: Sequence[int] | None
) -> dict[int, int]:
    """Claim due jobs; returns the lease token of each challenge taken."""
    holder = f"request {uuid4()}"
    taken: dict[int, int] = {}
    with engine.begin() as connection:
        due = jobs.requestable(connection)
        if challenge_ids is not None:
            due = [one for one in due if one in set(challenge_ids)]
        for challenge_id in jobs.claim(connection, due, policy.batch):
            token = leases.acquire(connection, _lease(challenge_id), holder, policy.lease_s)
            if token is not None:
                taken[challenge_id] = token
    return taken


def _intents(
    engine: Engine,
    contracts: Contracts,
    outbox: Outbox,
    policy: RequestPolicy,
    challenge_ids: Sequence[int],
    report: RequestReport,
) -> dict[int, Intent]:
    """The request to send, or to ask about, for each claimed job that still needs one."""
    with engine.begin() as connection:
        facts = {one.challenge_id: one for one in jobs.request_facts(connection, challenge_ids)}
        leaders: dict[int, list[Winner]] = {}
        for winner in rankings.provisional_winners(connection, challenge_ids):
            leaders.setdefault(winner.challenge_id, []).append(winner)
        attempts = stored.attempts(connection, challenge_ids, ["request"])
    intents: dict[int, Intent] = {}
    for challenge_id in challenge_ids:
        mine = [one for one in attempts if one.challenge_id == challenge_id]
        latest = mine[-1] if mine else None
        if latest is not None and not latest.spent and latest.signed:
            intents[challenge_id] = latest.intent
            continue
        number = len(mine) + 1 if latest is None or latest.spent else len(mine)
        if latest is not None and latest.spent:
            # It was mined and reverted for good: a refusal that the simulation did not foresee.
            reverted = Outcome(latest.key, "reverted", latest.last_error)
            _settle_job(engine, contracts, policy, challenge_id, reverted, report)
            outbox.hold([_blank(policy, contracts, challenge_id, number)], "after a revert")
            continue
        if not mine and _noted(engine, contracts, facts.get(challenge_id), report):
            continue
        prompt = _prompt(facts.get(challenge_id), leaders.get(challenge_id, []))
        if isinstance(prompt, str):
            _put_back(engine, challenge_id, prompt, report)
            outbox.hold([_blank(policy, contracts, challenge_id, number)], prompt)
            continue
        intent = _intent(policy, contracts, prompt, number)
        problem = _not_open(engine, contracts, challenge_id, report)
        if problem is None:
            intents[challenge_id] = intent
        elif problem:
            _put_back(engine, challenge_id, problem, report)
            outbox.hold([intent], problem)
    return intents


def _noted(
    engine: Engine, contracts: Contracts, facts: RequestFacts | None, report: RequestReport
) -> bool:
    """Take over the request that an earlier worker made and noted, while it can still serve."""
    if facts is None or not is_hash32(facts.noted_task):
        return False
    request_id = contracts.request_id_by_task(facts.noted_task or "")
    if request_id == 0:
        return False
    made = contracts.request(request_id)
    if not _serves(made, facts.challenge_id, contracts.latest_timestamp()):
        return False
    with engine.begin() as connection:
        jobs.record_submitted(
            connection,
            facts.challenge_id,
            request_id=request_id,
            task_id=made.task_id,
            tx_hash=None,
            worker=made.requester,
        )
    report.submitted.append(facts.challenge_id)
    return True


def _serves(made: OnChainRequest, challenge_id: int, chain_now_ts: int) -> bool:
    """Whether a request has, or may still get, the answer that proves the challenge's winners."""
    if made.status == REQUEST_FINALIZED:
        return made.response_hash == expected_response_hash(challenge_id)
    deadlines = {1: made.commit_deadline, 2: made.reveal_deadline, 3: made.finalize_deadline}
    return chain_now_ts <= deadlines.get(made.status, -1)


def _not_open(
    engine: Engine, contracts: Contracts, challenge_id: int, report: RequestReport
) -> str | None:
    """Why the chain makes a request pointless now; "" when the job was ended, None when it is not.

    The database lags behind the chain by its confirmations, and a request costs money.
    """
    challenge = contracts.get_challenge(challenge_id)
    if challenge.status != STATUS_ACTIVE:
        finalized = challenge.status == STATUS_FINALIZED
        with engine.begin() as connection:
            if finalized:
                jobs.end(connection, challenge_id, "skipped", "it was finalized already")
            else:
                jobs.end(connection, challenge_id, "canceled", "it was canceled on chain")
        report.ended.append(challenge_id)
        return ""
    if challenge.paused:
        return "ChallengePaused"
    if contracts.latest_timestamp() > challenge.proof_deadline_ts:
        return "ProofWindowClosed"
    return None


def _prompt(facts: RequestFacts | None, leaders: Sequence[Winner]) -> Prompt | str:
    """The prompt, or why there is none. Its subject: the challenge's own, else the best winner."""
    if facts is None:
        return "there is no such challenge"
    fields = facts.fields
    if missing := fields.missing():
        return f"it lacks {', '.join(missing)}"
    own = next((one for one in leaders if one.subject == facts.subject), None)
    if own is None and not leaders and facts.own_updated_at is not None and facts.subject:
        subject, score = facts.subject, facts.own_score
        evidence_hash, updated_at = facts.own_evidence_hash, facts.own_updated_at
    elif leaders:
        best = own or leaders[0]
        subject, score = best.subject, best.score
        evidence_hash, updated_at = best.evidence_hash, best.updated_at
    else:
        return "nobody passes any more"
    return Prompt(
        challenge_id=facts.challenge_id,
        subject=subject,
        model_id=(fields.model_id or "").strip(),
        model_digest=(fields.model_hash or "").lower(),
        params_hash=(fields.params_hash or "").lower(),
        benchmark_hash=(fields.benchmark_hash or "").lower(),
        passed=True,
        score=score,
        evidence_hash=evidence_hash,
        evaluated_ts=int(updated_at.timestamp()),
    )


def _blank(policy: RequestPolicy, contracts: Contracts, challenge_id: int, number: int) -> Intent:
    return Intent(
        key=f"request:{challenge_id}:{number}",
        kind="request",
        signer=policy.worker,
        to=contracts.addresses.aivm_inference,
        data="0x",
        value_wei=policy.request_fee_wei,
        challenge_id=challenge_id,
    )


def _intent(policy: RequestPolicy, contracts: Contracts, prompt: Prompt, number: int) -> Intent:
    data = abi.aivm_inference("requestInferenceV2").encode(
        prompt.model_id,
        prompt.prompt_hash(),
        prompt.prompt_id(),
        prompt.model_digest,
        prompt.params_hash,
    )
    blank = _blank(policy, contracts, prompt.challenge_id, number)
    return replace(blank, data=data, subject=prompt.subject)


def _settle_job(
    engine: Engine,
    contracts: Contracts,
    policy: RequestPolicy,
    challenge_id: int,
    outcome: Outcome,
    report: RequestReport,
) -> None:
    """Write into the job what became of its request."""
    if outcome.error:
        report.errors.append(f"{challenge_id}: {outcome.error}")
    if outcome.state == "mined":
        made = _made(contracts.addresses.aivm_inference, outcome.receipt)
        if made is None:
            with engine.begin() as connection:
                error = "the node shows no InferenceRequestedV2 in the receipt; asked again later"
                sending.note(connection, outcome.key, error, policy.lease_s)
            report.pending.append(challenge_id)
            return
        request_id, task_id = made
        with engine.begin() as connection:
            jobs.record_submitted(
                connection,
                challenge_id,
                request_id=request_id,
                task_id=task_id,
                tx_hash=outcome.tx_hash or "",
                worker=policy.worker,
            )
        report.submitted.append(challenge_id)
    elif outcome.state == "pending":
        report.pending.append(challenge_id)
    elif outcome.state == "waiting":
        _put_back(engine, challenge_id, outcome.error or "", report)
    else:
        with engine.begin() as connection:
            status = jobs.record_failure(
                connection, challenge_id, outcome.error or outcome.state, policy.max_attempts
            )
        (report.dead if status == "dead" else report.failed).append(challenge_id)


def _put_back(engine: Engine, challenge_id: int, error: str, report: RequestReport) -> None:
    with engine.begin() as connection:
        jobs.put_back(connection, challenge_id, error)
    report.waiting.append(challenge_id)


def _made(aivm_inference: str, receipt: Receipt | None) -> tuple[int, str] | None:
    """Request id and task id from the ``InferenceRequestedV2`` among a receipt's logs."""
    for log in receipt.logs if receipt is not None else ():
        if log.address == aivm_inference and log.topics[0] == abi.INFERENCE_REQUESTED:
            return int(log.topics[1], 16), log.topics[3]
    return None
