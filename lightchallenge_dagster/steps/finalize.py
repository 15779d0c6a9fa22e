"""Finalize challenges whose end and proof deadline have passed.

Finalizing is final: whoever is not a winner on chain by then has lost the stake. So a challenge is
held back while the database knows of a winner that the chain does not, because an admin can still
move the deadline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lightchallenge_dagster.chain import abi
from lightchallenge_dagster.chain.contracts import (
    STATUS_ACTIVE,
    STATUS_FINALIZED,
    Contracts,
)
from lightchallenge_dagster.steps.outbox import Outbox, Outcome
from lightchallenge_dagster.steps.settling.noting import record_transactions
from lightchallenge_dagster.storage import outbox as stored
from lightchallenge_dagster.storage import proof_fields, rankings, settlement, verdicts
from lightchallenge_dagster.storage.outbox import Intent
from lightchallenge_dagster.storage.settlement import Ended

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine


@dataclass(frozen=True, slots=True)
class FinalizePolicy:
    """``finalizer``: the wallet that finalizes (lowercase).

    ``despite_missing_winners``: finalize although winners are missing on chain, who then lose.
    """

    finalizer: str
    despite_missing_winners: bool = False


@dataclass(frozen=True, slots=True)
class HeldBack:
    """A challenge that is not finalized for ``missing`` winners or an undecided outcome."""

    challenge_id: int
    missing: list[str]
    reason: str


@dataclass(frozen=True, slots=True)
class FinalizeReport:
    """Challenges by what became of them; ``errors`` says why, as "42: GlobalPausedError"."""

    finalized: list[int] = field(default_factory=list[int])
    pending: list[int] = field(default_factory=list[int])
    waiting: list[int] = field(default_factory=list[int])
    refused: list[int] = field(default_factory=list[int])
    held_back: list[int] = field(default_factory=list[int])
    errors: list[str] = field(default_factory=list[str])


def overdue(
    engine: Engine, chain_now_ts: int, *, despite_missing_winners: bool = False
) -> list[int]:
    """Challenges that can be finalized at ``chain_now_ts`` (epoch seconds, chain time).

    Every active, unpaused challenge past its end and proof deadline, with or without a job, except
    those held back, those with a transaction in flight or not indexed yet, and those to wait for.
    """
    with engine.begin() as connection:
        return _overdue(connection, chain_now_ts, despite_missing_winners)


def held_back(engine: Engine, chain_now_ts: int) -> list[HeldBack]:
    """Challenges that are not finalized for the sake of a winner who is not one on chain yet."""
    with engine.begin() as connection:
        found = settlement.ended(connection, chain_now_ts)
        ids = [one.challenge_id for one in found]
        missing = _missing(connection, ids, chain_now_ts)
        unjudged = _unjudged(connection, ids)
    held: list[HeldBack] = []
    for one in found:
        wallets = missing.get(one.challenge_id, [])
        if wallets:
            reason = f"{len(wallets)} winners in the database are not winners on chain"
            held.append(HeldBack(one.challenge_id, wallets, reason))
        elif one.challenge_id in unjudged:
            held.append(HeldBack(one.challenge_id, [], "evidence of its stakers is not judged yet"))
        elif one.unclosed:
            reason = "its ranking has not closed or is quarantined, or its rule cannot be read"
            held.append(HeldBack(one.challenge_id, [], reason))
    return held


def finalize(
    engine: Engine,
    contracts: Contracts,
    outbox: Outbox,
    chain_now_ts: int,
    policy: FinalizePolicy,
) -> FinalizeReport:
    """Finalize what is overdue, and note in ``challenges.proof`` what came of it.

    Raises ``RpcUnavailable`` when the node fails before anything fresh was signed.
    """
    outbox.resume()
    record_transactions(engine, contracts)
    with engine.begin() as connection:
        due = _overdue(connection, chain_now_ts, policy.despite_missing_winners)
        attempts = stored.attempts(connection, due, ["finalize"])
    report = FinalizeReport()
    if not policy.despite_missing_winners:
        report.held_back.extend(one.challenge_id for one in held_back(engine, chain_now_ts))
    intents: list[Intent] = []
    for challenge_id in due:
        made = [one for one in attempts if one.challenge_id == challenge_id]
        # A new key only after an attempt was mined in vain.
        number = len(made) + 1 if made and made[-1].signed else max(1, len(made))
        key = f"finalize:{challenge_id}" + (f":{number}" if number > 1 else "")
        intent = Intent(
            key=key,
            kind="finalize",
            signer=policy.finalizer,
            to=contracts.addresses.challengepay,
            data=abi.challengepay("finalize").encode(challenge_id),
            challenge_id=challenge_id,
        )
        outbox.reached("waiting", key)
        challenge = contracts.get_challenge(challenge_id)
        if challenge.status == STATUS_ACTIVE:
            _note_undone(engine, challenge_id)
        if challenge.status == STATUS_ACTIVE and not challenge.paused:
            intents.append(intent)
            continue
        reason = "ChallengePaused" if challenge.status == STATUS_ACTIVE else "it has ended on chain"
        outbox.hold([intent], reason)
        if challenge.status == STATUS_FINALIZED:
            _note_success(engine, challenge_id, None)
            report.finalized.append(challenge_id)
        else:
            report.waiting.append(challenge_id)
    for intent, outcome in zip(intents, outbox.submit(intents), strict=True):
        _record(engine, contracts, intent.challenge_id or 0, outcome, report)
        if outcome.state == "mined":
            outbox.reached("noted", intent.key)
    if intents:
        record_transactions(engine, contracts)
    return report


def _overdue(connection: Connection, chain_now_ts: int, despite_missing_winners: bool) -> list[int]:
    found = settlement.ended(connection, chain_now_ts)
    indexed_to = settlement.indexed_to(connection)
    due = [one for one in found if _free(one, indexed_to)]
    if despite_missing_winners:
        return [one.challenge_id for one in due]
    ids = [one.challenge_id for one in due if not one.unclosed]
    held = _missing(connection, ids, chain_now_ts).keys() | _unjudged(connection, ids)
    return [challenge_id for challenge_id in ids if challenge_id not in held]


def _free(one: Ended, indexed_to: int) -> bool:
    """Whether no attempt to finalize it is in flight, unseen by the indexer, or to wait for."""
    if one.waiting or one.intent_status in ("signed", "broadcast"):
        return False
    if one.intent_status in ("mined", "confirmed"):
        seen = one.block_number is not None and one.block_number <= indexed_to
        return seen and not one.failing
    return True


def _missing(
    connection: Connection, challenge_ids: Sequence[int], chain_now_ts: int
) -> dict[int, list[str]]:
    """Winners in the database that are not winners on chain, by challenge.

    Past the deadline every pass with stake is final, also one that an earlier worker wrote and
    that there is no evidence left to judge for.
    """
    if not challenge_ids:
        return {}
    now = datetime.fromtimestamp(chain_now_ts, UTC)
    won = {
        (winner.challenge_id, winner.subject)
        for winner in rankings.settled_winners(connection, challenge_ids, now)
    } | settlement.passing(connection, challenge_ids)
    missing: dict[int, list[str]] = {}
    for challenge_id, subject in sorted(won - settlement.chain_winners(connection, challenge_ids)):
        missing.setdefault(challenge_id, []).append(subject)
    return missing


def _unjudged(connection: Connection, challenge_ids: Sequence[int]) -> set[int]:
    """Challenges with evidence of a staker that the verdict does not know: it may be a winner's."""
    if not challenge_ids:
        return set()
    waiting = {
        (one.challenge_id, one.subject)
        for one in verdicts.pending(connection, challenge_ids=challenge_ids)
    }
    if not waiting:
        return set()
    stakers = settlement.stakers(connection, challenge_ids)
    return {challenge_id for challenge_id, _ in waiting & stakers}


def _record(
    engine: Engine,
    contracts: Contracts,
    challenge_id: int,
    outcome: Outcome,
    report: FinalizeReport,
) -> None:
    if outcome.error:
        report.errors.append(f"{challenge_id}: {outcome.error}")
    if _finalized(contracts, challenge_id, outcome):
        _note_success(engine, challenge_id, outcome.tx_hash)
        report.finalized.append(challenge_id)
    elif outcome.state in ("mined", "done"):
        # Nothing is noted: the node may be behind, and the next look tells.
        report.errors.append(f"{challenge_id}: the node does not show that it is finalized")
        report.refused.append(challenge_id)
    elif outcome.state == "pending":
        report.pending.append(challenge_id)
    elif outcome.state == "waiting":
        report.waiting.append(challenge_id)
    else:
        _note_failure(engine, challenge_id, outcome.error or outcome.state)
        report.refused.append(challenge_id)


def _finalized(contracts: Contracts, challenge_id: int, outcome: Outcome) -> bool:
    """Whether the contract has said so: in the receipt, or about the challenge when asked."""
    if outcome.state not in ("mined", "done"):
        return False
    challengepay = contracts.addresses.challengepay
    told = any(
        log.address == challengepay
        and log.topics[0] == abi.FINALIZED
        and int(log.topics[1], 16) == challenge_id
        for log in (outcome.receipt.logs if outcome.receipt is not None else ())
    )
    return told or contracts.get_challenge(challenge_id).status == STATUS_FINALIZED


def _note_success(engine: Engine, challenge_id: int, tx_hash: str | None) -> None:
    patch: dict[str, object] = {
        "finalizationAttempted": True,
        "finalizationSuccess": True,
        "lastFinalizationError": None,
    }
    if tx_hash is not None:
        patch["finalizeTxHash"] = tx_hash
    with engine.begin() as connection:
        # The chain is indexed up to the deadline by now: there are no other winners.
        patch["proofsSubmitted"] = len(settlement.chain_winners(connection, [challenge_id]))
        proof_fields.merge(connection, challenge_id, patch)


def _note_undone(engine: Engine, challenge_id: int) -> None:
    """Take a success back that was noted before a reorg: the challenge is active on chain."""
    with engine.begin() as connection:
        settlement.note_undone(
            connection, challenge_id, "a reorg took its finalization out of the chain"
        )


def _note_failure(engine: Engine, challenge_id: int, error: str) -> None:
    with engine.begin() as connection:
        proof_fields.merge(
            connection,
            challenge_id,
            {
                "finalizationAttempted": True,
                "finalizationSuccess": False,
                "lastFinalizationError": error,
            },
        )
