"""Send the proofs of settled winners, many in one transaction, and believe only ``WinnerMarked``.

Between the look at the chain and the intents that follow from it others may have been at work: so
what is written down is decided once more from the tables, with the verdicts held.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from eth_utils.crypto import keccak

from lightchallenge_dagster.chain import abi
from lightchallenge_dagster.chain.sender import Sender
from lightchallenge_dagster.steps.settling.batches import Gauge, split
from lightchallenge_dagster.steps.settling.bindings import freeze
from lightchallenge_dagster.steps.settling.noting import note
from lightchallenge_dagster.steps.settling.proofs import Ready, preflight
from lightchallenge_dagster.steps.settling.report import wallet_name
from lightchallenge_dagster.steps.settling.state import State
from lightchallenge_dagster.storage import outbox as stored
from lightchallenge_dagster.storage import settlement
from lightchallenge_dagster.storage.outbox import Intent

if TYPE_CHECKING:
    from lightchallenge_dagster.rules.receipts import Receipt
    from lightchallenge_dagster.steps.outbox import Outcome
    from lightchallenge_dagster.steps.settling.run import Run


def prove(run: Run) -> None:
    """Send every proof that is due, all batches of a challenge at once."""
    outbox = run.outbox
    planned = _planned(run, _groups(run))
    mined: list[str] = []
    spoiled: dict[str, Sequence[Ready]] = {}
    intents = [intent for intent, _ in planned]
    for (intent, group), outcome in zip(planned, outbox.submit(intents), strict=True):
        if outcome.state in ("refused", "done") and intent.subject is None:
            spoiled[intent.key] = group
        else:
            mined += _take_in(run, intent, outcome, group)
    # One entry spoils a whole batch; alone, each is refused or paid for itself.
    singles = [one for group in spoiled.values() for one in group]
    outcomes = outbox.submit([one.intent for one in singles])
    for one, outcome in zip(singles, outcomes, strict=True):
        mined += _take_in(run, one.intent, outcome, [one])
    with run.engine.begin() as connection:
        settlement.withdraw_batches(connection, list(spoiled))
    note(run, mined)


def _groups(run: Run) -> dict[int, list[list[Ready]]]:
    """The proofs that the verifier accepts, by challenge, cut into transactions."""
    with run.engine.begin() as connection:
        state = State.read(connection, run.chain_now_ts, only=run.policy.only)
    due = state.due("proof")
    groups: dict[int, list[list[Ready]]] = {}
    for one in state.settling:
        subjects = due.get(one.challenge_id)
        if not subjects or one.request is None:
            continue
        # A hundred challenges take longer than a lease: whoever watches has to hear of it.
        run.outbox.reached("waiting", f"proof:{one.challenge_id}")
        found = preflight(run, state, one, one.request, subjects)
        groups[one.challenge_id] = _cut(run, state, one.challenge_id, found)
    return groups


def _cut(run: Run, state: State, challenge_id: int, found: Sequence[Ready]) -> list[list[Ready]]:
    """The proofs as transactions: in batches, except where one has spoiled a batch before."""
    alone = [one for one in found if state.alone(challenge_id, one.subject)]
    together = [one for one in found if one not in alone]
    return [[one] for one in alone] + _batches(run, challenge_id, together)


def _batches(run: Run, challenge_id: int, found: Sequence[Ready]) -> list[list[Ready]]:
    if len(found) < 2:
        return [list(found)] if found else []
    sender, policy = Sender(run.contracts.rpc), run.policy
    gauge = Gauge(
        sender,
        policy.prover,
        run.contracts.addresses.challengepay,
        run.outbox.policy.gas_margin_percent,
    )
    budget = min(policy.max_batch_gas, sender.block_gas_limit() // 2)
    return split(found, lambda some: gauge.gas(_calldata(challenge_id, some)), budget)


def _planned(
    run: Run, groups: Mapping[int, Sequence[Sequence[Ready]]]
) -> list[tuple[Intent, Sequence[Ready]]]:
    """Write down what is still due of ``groups``; a competition freezes with its first proof."""
    due_in = frozenset(challenge_id for challenge_id, batches in groups.items() if batches)
    if not due_in:
        return []
    planned: list[tuple[Intent, Sequence[Ready]]] = []
    with run.engine.begin() as connection:
        state = State.read(connection, run.chain_now_ts, lock=True, only=due_in)
        due = state.due("proof")
        for challenge_id, batches in groups.items():
            for batch in batches:
                group = [one for one in batch if one.subject in due.get(challenge_id, ())]
                if len(group) == 1:
                    planned.append((group[0].intent, group))
                elif group:
                    planned.append((_batch(run, state, challenge_id, group), group))
        intents = [intent for intent, _ in planned]
        ordered = {intent.challenge_id or 0 for intent in intents}
        run.report.frozen.extend(freeze(connection, state, ordered))
        settlement.withdraw_batches(connection, [], older_than_s=3600)
        stored.plan(connection, run.outbox.policy.chain_id, intents)
    return planned


def _batch(run: Run, state: State, challenge_id: int, group: Sequence[Ready]) -> Intent:
    data = _calldata(challenge_id, group)
    # Named by what it carries, so that one key never means two batches, whoever plans them.
    base = f"proof:{challenge_id}:batch:{keccak(hexstr=data).hex()[:16]}"
    return Intent(
        key=state.key(challenge_id, base),
        kind="proof",
        signer=run.policy.prover,
        to=run.contracts.addresses.challengepay,
        data=data,
        challenge_id=challenge_id,
    )


def _calldata(challenge_id: int, group: Sequence[Ready]) -> str:
    return abi.challengepay("submitProofForBatch").encode(
        challenge_id, [one.subject for one in group], [one.proof for one in group]
    )


def _take_in(run: Run, intent: Intent, outcome: Outcome, group: Sequence[Ready]) -> list[str]:
    """Report what became of a transaction; its key when it was mined."""
    outbox, report = run.outbox, run.report
    challenge_id = intent.challenge_id or 0
    if outcome.state != "mined":
        for one in group:
            report.add_other(wallet_name(challenge_id, one.subject), outcome)
        return []
    report.proof_transactions.append(outcome.tx_hash or "")
    marked = _marked(run.contracts.addresses.challengepay, challenge_id, outcome.receipt)
    for one in group:
        name = wallet_name(challenge_id, one.subject)
        if one.subject in marked:
            report.proved.append(name)
            continue
        # A proof that the verifier refuses does not revert.
        why = "its proof was submitted and not accepted"
        if intent.subject is None:
            outbox.refuse(one.intent, why)
        else:
            outbox.remark(intent.key, why)
        report.refused.append(f"{name}: {why}")
    return [intent.key]


def _marked(challengepay: str, challenge_id: int, receipt: Receipt | None) -> set[str]:
    """The wallets that a transaction's ``WinnerMarked`` logs name for the challenge."""
    return {
        "0x" + log.topics[2][-40:]
        for log in (receipt.logs if receipt is not None else ())
        if log.address == challengepay
        and log.topics[0] == abi.WINNER_MARKED
        and int(log.topics[1], 16) == challenge_id
    }
