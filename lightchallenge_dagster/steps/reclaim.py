"""Watch the requests under way; take back the fee of those that ran out of time, and ask anew.

Cancellation and timeouts emit no event (PROTOCOL.md), so the contract is asked about a request that
takes long, and again when the stage it was in has run out. It is asked about the checkpoint's
block, by its hash, and judged by that block's time: a node that is behind cannot make a living
request look dead. What follows from a death is written in one transaction: the request is never
bound to again, the job is free to ask anew, the fee's reclaim is an intent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lightchallenge_dagster.chain import abi
from lightchallenge_dagster.chain.rpc import RpcError
from lightchallenge_dagster.rules.requests import CANCELLED, TIMED_OUT, fate
from lightchallenge_dagster.storage import chain_time, checkpoints, refunds, sending, watch
from lightchallenge_dagster.storage import outbox as stored
from lightchallenge_dagster.storage.outbox import Intent
from lightchallenge_dagster.storage.watch import Watched

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from lightchallenge_dagster.chain.contracts import Contracts, OnChainRequest
    from lightchallenge_dagster.steps.outbox import Outbox, Outcome

#: When to look again for the key of a wallet that was retired before its fee came back.
_NO_KEY_RETRY_S = 3600.0
#: A reclaim that reverted on chain, although its simulation had passed, is tried again after this
#: long, so often in all: what it ran into has passed by then, or a person has to look.
_REVERTED_RETRY_S = 3600.0
_MOST_ATTEMPTS = 3

_FEE_IS_BACK = (CANCELLED, TIMED_OUT)


@dataclass(frozen=True, slots=True)
class ReclaimReport:
    """Requests by their id, with what became of them.

    ``watched`` were read. ``lost``: those that serve nobody any more, as "7 of challenge 42: nobody
    committed to it in time"; ``requeued`` are the challenges that ask anew. ``reclaimed``: the fee
    is back. ``errors``: what stands in the way of a reclaim.
    """

    watched: list[int] = field(default_factory=list[int])
    lost: list[str] = field(default_factory=list[str])
    requeued: list[int] = field(default_factory=list[int])
    reclaimed: list[int] = field(default_factory=list[int])
    pending: list[int] = field(default_factory=list[int])
    errors: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class _Run:
    engine: Engine
    contracts: Contracts
    outbox: Outbox
    max_attempts: int
    only: frozenset[int] | None
    report: ReclaimReport = field(default_factory=ReclaimReport)


def reclaimable(engine: Engine, chain_now_ts: int) -> list[int]:
    """Challenges with a request to look at, or a fee to take back (two cheap queries).

    ``chain_now_ts`` is confirmed chain time in epoch seconds.
    """
    with engine.begin() as connection:
        found = {one.challenge_id for one in watch.watchable(connection, chain_now_ts)}
        intents = stored.due(connection, "reclaim")
        intents += [one.next for one in refunds.reverted(connection, _REVERTED_RETRY_S)]
        return sorted(found | {one.challenge_id or 0 for one in intents})


def reclaim(
    engine: Engine,
    contracts: Contracts,
    outbox: Outbox,
    *,
    max_attempts: int = 10,
    only: frozenset[int] | None = None,
) -> ReclaimReport:
    """Read the requests that are due, and follow up those that died.

    ``max_attempts``: useless answers (and refusals) before a job is dead. ``only``: requests of
    these challenges. Raises ``RpcUnavailable`` when the node fails before anything was signed.
    """
    run = _Run(engine, contracts, outbox, max_attempts, only)
    _watch(run)
    _repeat(run)
    with engine.begin() as connection:
        intents = [
            one
            for one in stored.due(connection, "reclaim", outbox.policy.chain_id)
            if only is None or one.challenge_id in only
        ]
    needed = [one for one in intents if _refundable(run, one)]
    for intent, outcome in zip(needed, outbox.submit(needed), strict=True):
        _report(intent, outcome, run.report)
        outbox.reached("noted", intent.key)
    return run.report


def _watch(run: _Run) -> None:
    chain_id = run.outbox.policy.chain_id
    with run.engine.begin() as connection:
        at = checkpoints.read(connection, chain_id)
        now = chain_time.confirmed_now(connection, chain_id)
        due = [] if now is None else watch.watchable(connection, now)
    due = [one for one in due if run.only is None or one.challenge_id in run.only]
    if at is None or now is None or not due:
        return
    try:
        read = run.contracts.requests_at([one.request_id for one in due], at)
    except RpcError as error:
        # The block is not there, or its state is not kept: asked again with the next checkpoint.
        run.report.errors.append(f"requests at block {at.number}: {error.message}")
        return
    for one in due:
        _follow_up(run, one, read[one.request_id], now)


def _follow_up(run: _Run, one: Watched, read: OnChainRequest, chain_now_ts: int) -> None:
    outbox, report = run.outbox, run.report
    if read.task_id != one.task_id:
        report.errors.append(f"request {one.request_id}: the node shows another one; asked again")
        return
    ends = fate(read.facts, one.challenge_id, chain_now_ts)
    report.watched.append(one.request_id)
    with run.engine.begin() as connection:
        if not watch.record(connection, one, read, ends.dead) or ends.dead is None:
            return
        if ends.refund is not None and outbox.signs_as(one.requester):
            intent = _intent(run.contracts.addresses.aivm_inference, one, ends.refund)
            stored.plan(connection, outbox.policy.chain_id, [intent])
        why = f"request {one.request_id}: {ends.dead}"
        status = watch.requeue(
            connection, one, why, answered=ends.answered, max_attempts=run.max_attempts
        )
    report.lost.append(f"{one.request_id} of challenge {one.challenge_id}: {ends.dead}")
    if status in ("queued", "failed"):
        report.requeued.append(one.challenge_id)
    if ends.refund is not None and not outbox.signs_as(one.requester):
        report.errors.append(
            f"request {one.request_id}: only {one.requester} can take its fee back"
        )


def _repeat(run: _Run) -> None:
    """Look at each fee whose reclaim reverted; plan another attempt while it is not back.

    After the last attempt it is looked at still: a person may have taken it back.
    """
    chain_id = run.outbox.policy.chain_id
    with run.engine.begin() as connection:
        found = refunds.reverted(connection, _REVERTED_RETRY_S, chain_id)
    found = [one for one in found if run.only is None or one.next.challenge_id in run.only]
    for one in found:
        status = _confirmed_status(run, one.request_id)
        if status is None:
            continue
        with run.engine.begin() as connection:
            refunds.note(connection, one.request_id, status)
            if status not in _FEE_IS_BACK and one.made < _MOST_ATTEMPTS:
                stored.plan(connection, chain_id, [one.next])
        if status in _FEE_IS_BACK:
            run.report.reclaimed.append(one.request_id)


def _confirmed_status(run: _Run, request_id: int) -> int | None:
    """The request's status in the checkpoint's block: a reorg may take back what is newer.

    None when the node cannot say, which the report tells.
    """
    with run.engine.begin() as connection:
        at = checkpoints.read(connection, run.outbox.policy.chain_id)
    if at is None:
        return None
    try:
        return run.contracts.requests_at([request_id], at)[request_id].status
    except RpcError as error:
        run.report.errors.append(f"request {request_id} at block {at.number}: {error.message}")
        return None


def _intent(aivm_inference: str, one: Watched, call: str) -> Intent:
    return Intent(
        key=refunds.key(one.challenge_id, one.request_id),
        kind="reclaim",
        signer=one.requester,
        to=aivm_inference,
        data=abi.aivm_inference(call).encode(one.request_id),
        challenge_id=one.challenge_id,
    )


def _refundable(run: _Run, intent: Intent) -> bool:
    """Whether the fee is still there, and ours to take back; an intent without a purpose ends."""
    request_id = refunds.request_of(intent)
    if not run.outbox.signs_as(intent.signer):
        error = f"request {request_id}: only {intent.signer} can take its fee back"
        run.report.errors.append(error)
        with run.engine.begin() as connection:
            sending.record_trouble(connection, intent.key, error, _NO_KEY_RETRY_S, signed=False)
        return False
    if run.contracts.request(request_id).status not in _FEE_IS_BACK:
        return True
    status = _confirmed_status(run, request_id)
    if status not in _FEE_IS_BACK:
        run.report.pending.append(request_id)
        return False
    with run.engine.begin() as connection:
        refunds.note(connection, request_id, status)
        if not stored.withdraw(connection, intent.key):
            # It was signed once, and a foreign transaction of the wallet came before it.
            error = "its fee is back already"
            sending.record_refusal(connection, intent.key, error, counts=False, retry_s=None)
    run.report.reclaimed.append(request_id)
    return False


def _report(intent: Intent, outcome: Outcome, report: ReclaimReport) -> None:
    request_id = refunds.request_of(intent)
    if outcome.state == "mined":
        report.reclaimed.append(request_id)
    elif outcome.state == "pending":
        report.pending.append(request_id)
    else:
        report.errors.append(f"request {request_id}: {outcome.error or outcome.state}")
