"""Make the AIVM request of each queued job: one live request per challenge, exactly once.

The request's intent key is ``request:<challenge>:<n>``. As long as attempt *n* is not lost for
good, a worker that comes back to the job finds its transaction and takes the request's id and
task from the receipt, whoever sent it and whatever died in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import uuid4

from lightchallenge_dagster.chain import abi
from lightchallenge_dagster.steps.requesting.prepare import prepare
from lightchallenge_dagster.steps.requesting.work import (
    Heartbeat,
    RequestPolicy,
    RequestReport,
    Work,
)
from lightchallenge_dagster.storage import jobs, queue, sending
from lightchallenge_dagster.storage.queue import Claim, ClaimLost

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from lightchallenge_dagster.chain.contracts import Contracts
    from lightchallenge_dagster.rules.receipts import Receipt
    from lightchallenge_dagster.steps.outbox import Outbox, Outcome

__all__ = ["RequestPolicy", "RequestReport", "request_inferences", "requestable"]


def requestable(engine: Engine) -> list[int]:
    """Challenges whose job can be brought forward now (one cheap query).

    Empty while all jobs wait: for a retry time, for a transaction in flight, for another worker.
    """
    with engine.begin() as connection:
        wrong = {one.challenge_id for one in jobs.misnoted(connection)}
        return [*queue.due(connection), *sorted(wrong)]


def request_inferences(
    engine: Engine,
    contracts: Contracts,
    outbox: Outbox,
    policy: RequestPolicy,
    challenge_ids: Sequence[int] | None = None,
) -> RequestReport:
    """Send the requests of due jobs and note those that are on chain.

    ``challenge_ids`` narrows the work to those jobs. Any number of workers may run this at once.
    Raises ``RpcUnavailable`` when the node fails before anything was signed; the jobs are then
    free again.
    """
    outbox.resume()
    report = RequestReport()
    with engine.begin() as connection:
        report.reaped.extend(queue.reap(connection))
    _note_again(engine)
    with engine.begin() as connection:
        claims = queue.claim(
            connection,
            f"request {uuid4()}",
            batch=policy.batch,
            lease_s=policy.lease_s,
            challenge_ids=challenge_ids,
        )
    watched = outbox.watched(Heartbeat(engine, claims, policy.lease_s))
    work = Work(engine, contracts, watched, policy, report)
    try:
        intents = prepare(work, claims)
        outcomes = watched.submit(list(intents.values()))
        for claim, outcome in zip(intents, outcomes, strict=True):
            try:
                _complete(work, claim, outcome)
            except ClaimLost as error:
                work.lose(claim, error)
    finally:
        with engine.begin() as connection:
            queue.release(connection, claims)
    return report


def _note_again(engine: Engine) -> None:
    """Correct the jobs whose request came out of a reorg with another id."""
    with engine.begin() as connection:
        for one in jobs.misnoted(connection):
            jobs.note_again(connection, one)


def _complete(work: Work, claim: Claim, outcome: Outcome) -> None:
    """Write into the job what became of its request."""
    if outcome.error:
        work.report.errors.append(f"{claim.challenge_id}: {outcome.error}")
    if outcome.state == "mined":
        _note(work, claim, outcome)
    elif outcome.state in ("pending", "reverted"):
        # What reverted for good is counted by the run that makes the next attempt.
        work.report.pending.append(claim.challenge_id)
    elif outcome.state == "waiting":
        work.put_back(claim, outcome.error or "")
    else:
        work.fail(claim, outcome.error or outcome.state)
    work.outbox.reached("noted", outcome.key)


def _note(work: Work, claim: Claim, outcome: Outcome) -> None:
    made = _made(work.contracts.addresses.aivm_inference, outcome.receipt)
    with work.writing(claim) as connection:
        # A node keeps receipts for a while only; the indexer keeps its logs.
        made = made or jobs.made_by(connection, outcome.tx_hash or "")
        if made is None:
            error = "the node shows no InferenceRequestedV2 in the receipt; asked again later"
            sending.note(connection, outcome.key, error, work.policy.lease_s)
            work.report.pending.append(claim.challenge_id)
            return
        request_id, task_id = made
        jobs.record_submitted(
            connection,
            claim.challenge_id,
            request_id=request_id,
            task_id=task_id,
            tx_hash=outcome.tx_hash or "",
            worker=work.policy.worker,
        )
        sending.note(connection, outcome.key, None, 0)
        work.report.submitted.append(claim.challenge_id)


def _made(aivm_inference: str, receipt: Receipt | None) -> tuple[int, str] | None:
    """Request id and task id from the ``InferenceRequestedV2`` among a receipt's logs."""
    for log in receipt.logs if receipt is not None else ():
        if log.address == aivm_inference and log.topics[0] == abi.INFERENCE_REQUESTED:
            return int(log.topics[1], 16), log.topics[3]
    return None
