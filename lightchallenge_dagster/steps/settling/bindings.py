"""Write the bindings of settled winners, and clear those of anybody else.

A binding is a payment order (PROTOCOL.md). The verdicts are held while the order is written down,
and the first one of a competition freezes its ranking in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lightchallenge_dagster.chain import abi
from lightchallenge_dagster.rules.prompt import SCHEMA_VERSION, hash32
from lightchallenge_dagster.steps.settling.noting import note
from lightchallenge_dagster.steps.settling.report import wallet_name
from lightchallenge_dagster.steps.settling.state import State, Work
from lightchallenge_dagster.steps.settling.unwritable import (
    NO_DATA,
    refuse_unwritable,
)
from lightchallenge_dagster.storage import outbox as stored
from lightchallenge_dagster.storage import rankings, settlement
from lightchallenge_dagster.storage.outbox import Intent

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from lightchallenge_dagster.chain.contracts import OnChainBinding
    from lightchallenge_dagster.steps.outbox import Outcome
    from lightchallenge_dagster.steps.settling.run import Run
    from lightchallenge_dagster.storage.settlement import Settling


def bind(run: Run) -> None:
    """Send the bindings that are due, those to clear before all others."""
    intents = _ordered(run)
    needed = [
        intent
        for challenge_id in dict.fromkeys(intent.challenge_id or 0 for intent in intents)
        for intent in _still_needed(
            run, challenge_id, [one for one in intents if one.challenge_id == challenge_id]
        )
    ]
    # Nonces are given out in this order, so no binding is mined before a loser's was cleared.
    needed.sort(key=lambda intent: intent.kind != "clear")
    outcomes = run.outbox.submit(needed)
    for intent, outcome in zip(needed, outcomes, strict=True):
        _take_in(run, intent, outcome)
    note(run, [one.key for one in outcomes if one.state == "mined"])


def _ordered(run: Run) -> list[Intent]:
    """Write down what is due, while nobody can judge or rank otherwise."""
    policy = run.policy
    intents: list[Intent] = []
    unwritable: list[tuple[Intent, Exception]] = []
    with run.engine.begin() as connection:
        found = State.read(connection, run.chain_now_ts, only=policy.only).work()
    due = frozenset(work.challenge_id for work in found if work.action != "proof")
    if not due:
        return []
    with run.engine.begin() as connection:
        state = State.read(connection, run.chain_now_ts, lock=True, only=due)
        settling = {one.challenge_id: one for one in state.settling}
        for work in state.work():
            one = settling[work.challenge_id]
            if work.action == "proof":
                continue
            blank = _blank(run, state, one, work)
            try:
                intents.append(replace(blank, data=_calldata(one, work)))
            except abi.UNWRITABLE as error:
                unwritable.append((blank, error))
        ordered = {intent.challenge_id or 0 for intent in intents if intent.kind == "bind"}
        run.report.frozen.extend(freeze(connection, state, ordered))
        stored.plan(connection, run.outbox.policy.chain_id, intents)
    for blank, error in unwritable:
        refuse_unwritable(run, blank, error)
    return intents


def _blank(run: Run, state: State, one: Settling, work: Work) -> Intent:
    """The intent that the work is done by, without its calldata."""
    if work.action == "bind":
        request_id = one.request.request_id if one.request else 0
    else:
        bound = state.binding(one.challenge_id, work.subject)[0]
        request_id = bound.request_id if bound else 0
    base = f"{work.action}:{one.challenge_id}:{work.subject}:{request_id}"
    return Intent(
        key=state.key(one.challenge_id, base),
        kind=work.action,
        signer=run.policy.binder,
        to=run.contracts.addresses.task_registry,
        data=NO_DATA,
        challenge_id=one.challenge_id,
        subject=work.subject,
    )


def _calldata(one: Settling, work: Work) -> str:
    """Raises one of ``abi.UNWRITABLE`` for rows that no contract takes."""
    if work.action == "clear":
        return abi.task_registry("clearBinding").encode(one.challenge_id, work.subject)
    if one.request is None:
        raise ValueError("no request speaks for the challenge")
    return abi.task_registry("recordBinding").encode(
        one.challenge_id,
        work.subject,
        one.request.request_id,
        one.request.task_id,
        one.request.model_digest,
        one.request.det_config_hash,
        hash32(one.benchmark_hash),
        SCHEMA_VERSION,
    )


def _still_needed(run: Run, challenge_id: int, intents: Sequence[Intent]) -> list[Intent]:
    """Those of one challenge's bindings that the chain itself does not make pointless.

    The tables lag behind the chain by its confirmations.
    """
    outbox, report = run.outbox, run.report
    # A hundred challenges take longer than a lease: whoever watches has to hear of it.
    outbox.reached("waiting", f"bind:{challenge_id}")
    subjects = [intent.subject or "" for intent in intents]
    standing = run.contracts.standing(challenge_id, subjects)
    bindings = run.contracts.bindings(challenge_id, subjects)
    needed: list[Intent] = []
    for intent, subject in zip(intents, subjects, strict=True):
        wei, won = standing[subject]
        name = wallet_name(challenge_id, subject)
        if won and intent.kind == "clear":
            outbox.refuse(intent, "AlreadyWinner")
            report.refused.append(f"{name}: it won before its binding was cleared")
        elif won:
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


def _take_in(run: Run, intent: Intent, outcome: Outcome) -> None:
    name = wallet_name(intent.challenge_id or 0, intent.subject)
    if outcome.state != "mined":
        run.report.add_other(name, outcome)
    elif intent.kind == "clear":
        run.report.cleared.append(name)
    else:
        run.report.bound.append(name)
        # A proof that was refused for want of this binding need not wait any longer.
        with run.engine.begin() as connection:
            settlement.retry_proof(connection, intent.challenge_id or 0, intent.subject or "")


def freeze(connection: Connection, state: State, challenge_ids: Iterable[int]) -> list[int]:
    """Freeze the rankings that name winners of these challenges; returns those it froze now."""
    return [
        challenge_id
        for challenge_id in sorted(set(challenge_ids) & state.ranked())
        if rankings.freeze(connection, challenge_id)
    ]
