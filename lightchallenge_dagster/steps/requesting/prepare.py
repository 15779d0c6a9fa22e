"""What is to be sent for each claimed job: a request, a look at the last one, or nothing yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lightchallenge_dagster.chain import abi
from lightchallenge_dagster.chain.contracts import STATUS_ACTIVE, STATUS_FINALIZED
from lightchallenge_dagster.rules.prompt import Prompt, is_address, is_hash32
from lightchallenge_dagster.rules.requests import fate
from lightchallenge_dagster.steps.requesting.work import Work
from lightchallenge_dagster.storage import jobs, rankings
from lightchallenge_dagster.storage import outbox as stored
from lightchallenge_dagster.storage.jobs import RequestFacts
from lightchallenge_dagster.storage.outbox import Attempt, Intent
from lightchallenge_dagster.storage.queue import Claim, ClaimLost

if TYPE_CHECKING:
    from lightchallenge_dagster.storage.rankings import Winner

#: What a prompt lacks is an upload or a field of the row: not there from one second to the next.
_NO_PROMPT_RETRY_S = 300.0
_WORDS_MAX = 500


def prepare(work: Work, claims: Sequence[Claim]) -> dict[Claim, Intent]:
    """The request to send, or to ask about, for each claimed job that needs one now.

    The other jobs are put back, ended or noted here. The intent's key is
    ``request:<challenge>:<n>``: a new number only after attempt *n* is lost for good or outlived.
    """
    known = _Known.read(work, [claim.challenge_id for claim in claims])
    intents: dict[Claim, Intent] = {}
    for claim in claims:
        try:
            intent = _prepared(work, claim, known)
        except ClaimLost as error:
            work.lose(claim, error)
            continue
        if intent is not None:
            intents[claim] = intent
    return intents


@dataclass(frozen=True, slots=True)
class _Known:
    """What the tables say about the claimed jobs, by challenge."""

    facts: Mapping[int, RequestFacts]
    leaders: Mapping[int, Sequence[Winner]]
    attempts: Mapping[int, Sequence[Attempt]]

    @classmethod
    def read(cls, work: Work, challenge_ids: Sequence[int]) -> _Known:
        leaders: dict[int, list[Winner]] = {}
        attempts: dict[int, list[Attempt]] = {}
        with work.engine.begin() as connection:
            facts = {one.challenge_id: one for one in jobs.request_facts(connection, challenge_ids)}
            for winner in rankings.provisional_winners(connection, challenge_ids):
                leaders.setdefault(winner.challenge_id, []).append(winner)
            for attempt in stored.attempts(connection, challenge_ids, ["request"]):
                attempts.setdefault(attempt.challenge_id or 0, []).append(attempt)
        return cls(facts, leaders, attempts)


def _prepared(work: Work, claim: Claim, known: _Known) -> Intent | None:
    try:
        return _intent(work, claim, known)
    except abi.UNWRITABLE as error:
        # A value of its row that no contract takes: the others' jobs go on.
        why = f"its request cannot be written: {error}"[:_WORDS_MAX]
        work.report.errors.append(f"{claim.challenge_id}: {why}")
        _withhold(work, claim, _number(known, claim), why)
        return None


def _intent(work: Work, claim: Claim, known: _Known) -> Intent | None:
    challenge_id = claim.challenge_id
    made = known.attempts.get(challenge_id, ())
    latest = made[-1] if made else None
    if latest is not None and latest.signed and not latest.spent:
        return latest.intent
    number = _number(known, claim)
    if latest is not None and latest.status == "reverted":
        # It was mined and reverted for good: a refusal that the simulation did not foresee.
        # The next attempt is written down first: no death between the two counts it twice.
        work.report.errors.append(f"{challenge_id}: {latest.last_error}")
        work.outbox.hold([_blank(work, challenge_id, number)], "after a revert")
        work.fail(claim, latest.last_error or "reverted")
        return None
    facts = known.facts.get(challenge_id)
    if not made and facts is not None and _noted(work, claim, facts):
        return None
    prompt = _prompt(facts, known.leaders.get(challenge_id, ()))
    if isinstance(prompt, str):
        _withhold(work, claim, number, prompt)
        return None
    intent = _request(work, prompt, number)
    return intent if _open(work, claim, intent) else None


def _number(known: _Known, claim: Claim) -> int:
    """The number of the attempt that is to be made, or is under way."""
    made = known.attempts.get(claim.challenge_id, ())
    return len(made) if made and not made[-1].spent else len(made) + 1


def _withhold(work: Work, claim: Claim, number: int, why: str) -> None:
    """Put a job back for a while: what its request lacks is in the tables."""
    work.put_back(claim, why)
    work.outbox.hold([_blank(work, claim.challenge_id, number)], why, _NO_PROMPT_RETRY_S)


def _noted(work: Work, claim: Claim, facts: RequestFacts) -> bool:
    """Take over the request that an earlier worker made and noted, while it can still serve.

    Also true when the node is behind and cannot say: then the job waits.
    """
    if not is_hash32(facts.noted_task):
        return False
    request_id = work.contracts.request_id_by_task(facts.noted_task or "")
    if request_id == 0 and facts.noted_known:
        work.put_back(claim, f"the node does not show the task {facts.noted_task} yet")
        return True
    if request_id == 0:
        return False
    made = work.contracts.request(request_id)
    if fate(made.facts, facts.challenge_id, work.contracts.latest_timestamp()).dead is not None:
        return False
    with work.writing(claim) as connection:
        jobs.record_submitted(
            connection,
            facts.challenge_id,
            request_id=request_id,
            task_id=made.task_id,
            tx_hash=None,
            worker=made.requester,
        )
        work.report.submitted.append(facts.challenge_id)
    return True


def _open(work: Work, claim: Claim, intent: Intent) -> bool:
    """Whether the chain takes a request for the challenge now; if not, the job says why.

    The database lags behind the chain by its confirmations, and a request costs money.
    """
    challenge = work.contracts.get_challenge(claim.challenge_id)
    if challenge.status == STATUS_FINALIZED:
        work.end(claim, "skipped", "it was finalized already")
        return False
    if challenge.status != STATUS_ACTIVE:
        # A reorg may take the cancellation out; once it is confirmed, cancel_jobs ends the job.
        problem = "NotActive"
    elif challenge.paused:
        problem = "ChallengePaused"
    elif work.contracts.latest_timestamp() > challenge.proof_deadline_ts:
        problem = "ProofWindowClosed"
    else:
        return True
    work.put_back(claim, problem)
    work.outbox.hold([intent], problem)
    return False


def _prompt(facts: RequestFacts | None, leaders: Sequence[Winner]) -> Prompt | str:
    """The prompt, or why there is none. Its subject: the challenge's own, else the best winner."""
    if facts is None:
        return "there is no such challenge"
    fields = facts.fields
    if missing := fields.missing():
        return f"it lacks {', '.join(missing)}"
    own = next((one for one in leaders if one.subject == facts.subject), None)
    if own is None and not leaders and facts.own_updated_at is not None and facts.subject:
        if not is_address(facts.subject):
            return f"its subject {facts.subject!r:.60} is no address"
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


def _blank(work: Work, challenge_id: int, number: int) -> Intent:
    return Intent(
        key=f"request:{challenge_id}:{number}",
        kind="request",
        signer=work.policy.worker,
        to=work.contracts.addresses.aivm_inference,
        data="0x",
        value_wei=work.policy.request_fee_wei,
        challenge_id=challenge_id,
    )


def _request(work: Work, prompt: Prompt, number: int) -> Intent:
    data = abi.aivm_inference("requestInferenceV2").encode(
        prompt.model_id,
        prompt.prompt_hash(),
        prompt.prompt_id(),
        prompt.model_digest,
        prompt.params_hash,
    )
    blank = _blank(work, prompt.challenge_id, number)
    return replace(blank, data=data, subject=prompt.subject)
