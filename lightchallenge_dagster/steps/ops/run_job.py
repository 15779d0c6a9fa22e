"""One challenge's AIVM job by id: give up, dispatch, request, settle it now, and say why not."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lightchallenge_dagster.rules.gates import NO_RULE, Gate, dispatch_gate
from lightchallenge_dagster.steps.plan import configuration
from lightchallenge_dagster.steps.reclaim import reclaim
from lightchallenge_dagster.steps.request import request_inferences
from lightchallenge_dagster.steps.settle import settle, unsettled
from lightchallenge_dagster.storage import jobs, ops, plans
from lightchallenge_dagster.storage.ops import Standing

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from lightchallenge_dagster.chain.contracts import Contracts
    from lightchallenge_dagster.steps.outbox import Outbox
    from lightchallenge_dagster.steps.request import RequestPolicy, RequestReport
    from lightchallenge_dagster.steps.settle import SettlePolicy, SettleReport

_ENDED = ("finalized", "canceled", "rejected")
_GIVEN_UP = ("failed", "dead")
_OPEN = ("queued", "failed", "processing")


@dataclass(frozen=True, slots=True)
class RunLine:
    """One step of the way: what came of it, and why it went no further."""

    step: str
    result: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class RunReport:
    """The steps in order; ``job_status`` is the job's afterwards, None where there is none."""

    challenge_id: int
    job_status: str | None
    lines: list[RunLine] = field(default_factory=list[RunLine])


def run_aivm_job(
    engine: Engine,
    contracts: Contracts,
    outbox: Outbox,
    chain_now_ts: int,
    challenge_id: int,
    *,
    requests: RequestPolicy,
    settling: SettlePolicy,
    again: bool = False,
) -> RunReport:
    """Bring one challenge forward as far as it goes at ``chain_now_ts`` (epoch seconds).

    The same gates hold as for the sensors' runs; only a retry time is not waited for. ``again``
    queues a failed or dead job of an active challenge anew, with its attempts forgiven. Raises
    ``RpcUnavailable`` when the node fails before anything fresh was signed.
    """
    lines = _reclaim(engine, contracts, outbox, challenge_id, requests.max_attempts)
    with engine.begin() as connection:
        before = ops.standing(connection, challenge_id)
        if again:
            lines.append(_again(connection, challenge_id, before))
        lines.append(_dispatch(connection, challenge_id, before, chain_now_ts))
        job_status = ops.standing(connection, challenge_id).job_status
        if job_status in _OPEN:
            ops.due_now(connection, challenge_id)
    if job_status in _OPEN:
        report = request_inferences(engine, contracts, outbox, requests, [challenge_id])
        with engine.begin() as connection:
            after = ops.standing(connection, challenge_id)
        lines.append(_requested(challenge_id, report, after))
    elif job_status == "dead":
        why = f"{before.attempts} attempts failed, the last by {before.last_error}; try `again`"
        lines.append(RunLine("request", "not sent", why))
    elif job_status is not None:
        lines.append(RunLine("request", f"the job is {job_status}", before.last_error))
    lines.append(_settle(engine, contracts, outbox, chain_now_ts, challenge_id, settling))
    with engine.begin() as connection:
        return RunReport(challenge_id, ops.standing(connection, challenge_id).job_status, lines)


def _reclaim(
    engine: Engine, contracts: Contracts, outbox: Outbox, challenge_id: int, max_attempts: int
) -> list[RunLine]:
    """Give up a request that ran out of time, so that the job asks anew; nothing to say if none."""
    only = frozenset({challenge_id})
    report = reclaim(engine, contracts, outbox, max_attempts=max_attempts, only=only)
    if not (report.lost or report.reclaimed or report.pending or report.errors):
        return []
    back = "its fee is taken back" if report.reclaimed or report.pending else "given up"
    return [RunLine("reclaim", back, "; ".join([*report.lost, *report.errors]) or None)]


def _again(connection: Connection, challenge_id: int, before: Standing) -> RunLine:
    if before.job_status is None:
        return RunLine("again", "not needed", "it has no job yet")
    if before.job_status not in _GIVEN_UP:
        return RunLine("again", "not needed", f"its job is {before.job_status}")
    if (ended := _ended(before)) is not None:
        return RunLine("again", "refused", ended)
    ops.requeue(connection, challenge_id, attempts=0, note=before.last_error)
    return RunLine(
        "again", "queued", f"it was {before.job_status} after {before.attempts} attempts"
    )


def _dispatch(
    connection: Connection, challenge_id: int, before: Standing, chain_now_ts: int
) -> RunLine:
    if before.job_status is not None:
        return RunLine("dispatch", "it has a job")
    gate = _gate(connection, challenge_id, before, chain_now_ts)
    if not gate.open:
        return RunLine("dispatch", "not queued", gate.reason)
    jobs.queue(connection, [challenge_id])
    return RunLine("dispatch", "queued")


def _gate(connection: Connection, challenge_id: int, before: Standing, chain_now_ts: int) -> Gate:
    facts = next(
        (one for one in jobs.dispatch_facts(connection) if one.challenge_id == challenge_id), None
    )
    if facts is None:
        return Gate(False, _unseen(before))
    gate = dispatch_gate(facts, chain_now_ts)
    if gate.open and not all(
        configuration(one).has_rule for one in plans.configurations(connection, [challenge_id])
    ):
        return NO_RULE
    return gate


def _unseen(before: Standing) -> str:
    """Why the dispatcher does not even look at the challenge."""
    if not before.known:
        return "there is no such challenge"
    if (ended := _ended(before)) is not None:
        return ended
    if before.chain_status is None:
        return "its creation is not indexed: is it older than START_BLOCK, or on another contract?"
    if before.chain_status != "Active" or (before.challenge_status or "").lower() not in (
        "active",
        "approved",
    ):
        return f"it is {before.challenge_status} here and {before.chain_status} on chain"
    if before.noted_request is not None:
        return f"its proof names request {before.noted_request} already"
    return "its configuration has not been read yet: wait for the next tick of judgement_sensor"


def _ended(before: Standing) -> str | None:
    for status in (before.chain_status, before.challenge_status):
        if (status or "").lower() in _ENDED:
            return f"the challenge is {status}"
    return None


def _requested(challenge_id: int, report: RequestReport, after: Standing) -> RunLine:
    prefix = f"{challenge_id}: "
    said = [one.removeprefix(prefix) for one in report.errors if one.startswith(prefix)]
    reason = "; ".join(said) or after.last_error or after.intent_error
    for result in ("submitted", "pending", "waiting", "failed", "dead", "ended"):
        if challenge_id in getattr(report, result):
            return RunLine("request", result, None if result == "submitted" else reason)
    return RunLine("request", "not taken", _not_taken(after) or reason)


def _not_taken(after: Standing) -> str | None:
    """Why no worker may take the job now."""
    if (ended := _ended(after)) is not None:
        return ended
    if after.chain_status != "Active":
        return f"the challenge is {after.chain_status or 'not indexed'}"
    if after.worker is not None:
        return f"a worker is at it: {after.worker}"
    if after.intent_status in ("signed", "broadcast"):
        return f"{after.intent} is sent, and no block holds it yet"
    if after.retry_at is not None:
        return f"{after.intent_error}; not before {after.retry_at:%H:%M:%S} UTC"
    return "its proof deadline has passed, or another program has just taken it"


def _settle(
    engine: Engine,
    contracts: Contracts,
    outbox: Outbox,
    chain_now_ts: int,
    challenge_id: int,
    policy: SettlePolicy,
) -> RunLine:
    due = [one for one in unsettled(engine, chain_now_ts) if one.challenge_id == challenge_id]
    if not due:
        return RunLine("settle", "nothing is due")
    only = replace(policy, only=frozenset({challenge_id}))
    report = settle(engine, contracts, outbox, chain_now_ts, only)
    counts = {
        what: len(getattr(report, what))
        for what in ("bound", "cleared", "proved", "won_already", "pending", "waiting", "refused")
    }
    done = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return RunLine("settle", done or "nothing was sent", _troubles(report))


def _troubles(report: SettleReport) -> str | None:
    return "; ".join([*report.refused, *report.waiting]) or None
