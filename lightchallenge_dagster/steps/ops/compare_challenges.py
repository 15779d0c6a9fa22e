"""Status, outcome and the documented flags of each challenge, against ``getChallenge``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from lightchallenge_dagster.chain.contracts import STATUS_CANCELED, STATUS_FINALIZED
from lightchallenge_dagster.steps.ops.difference import FLAGS, OUTCOME, Difference, rebuild

if TYPE_CHECKING:
    from lightchallenge_dagster.chain.contracts import OnChainChallenge
    from lightchallenge_dagster.storage.reconciling import ChallengeRow

_ON_CHAIN_WORDS = ("active", "paused", "finalized", "canceled")
_OUTCOMES = {0: "None", 1: "Success", 2: "Fail", None: "none"}


def status_of(found: OnChainChallenge) -> str:
    """The web app's word, in lowercase."""
    if found.status == STATUS_FINALIZED:
        return "finalized"
    if found.status == STATUS_CANCELED or found.canceled:
        return "canceled"
    return "paused" if found.paused else "active"


def challenges(
    rows: list[ChallengeRow], on_chain: Mapping[int, OnChainChallenge]
) -> Iterator[Difference]:
    """Challenges whose status or outcome is not the chain's. ``rejected`` is the web app's own."""
    for row in rows:
        found = on_chain[row.challenge_id]
        if not found.exists:
            if row.status in _ON_CHAIN_WORDS:
                yield _difference(
                    row, "status", row.status, "no such challenge", "is CHALLENGEPAY_ADDRESS right?"
                )
            continue
        word = status_of(found)
        if row.status != word and row.status != "rejected":
            yield _status(row, word)
        elif word == "finalized" and row.outcome != found.outcome:
            yield _outcome(row, found)


def flags(
    rows: list[ChallengeRow], on_chain: Mapping[int, OnChainChallenge]
) -> Iterator[Difference]:
    """Challenges whose ``proof`` says something else about winners and finalization."""
    for row in rows:
        found = on_chain[row.challenge_id]
        if row.proof is None or not found.exists:
            continue
        finalized = found.status == STATUS_FINALIZED
        said = row.proof.get("finalizationSuccess")
        if finalized and row.proof.get("finalizationAttempted") and said is not True:
            yield _flags(
                row,
                {"finalizationSuccess": True, "lastFinalizationError": None},
                f"finalizationSuccess {_json(said)}",
                "finalized",
            )
        elif not finalized and said is True:
            yield _flags(
                row,
                {"finalizationSuccess": False, "finalizeTxHash": None},
                "finalizationSuccess true",
                status_of(found),
            )
        count = row.proof.get("proofsSubmitted")
        if count is not None and count != found.winners_count:
            yield _flags(
                row,
                {"proofsSubmitted": found.winners_count},
                f"proofsSubmitted {_json(count)}",
                f"{found.winners_count} winners",
            )


def _status(row: ChallengeRow, word: str) -> Difference:
    if row.indexed_status is None:
        why = "its creation is not indexed: set_checkpoint to a block before it"
        return _difference(row, "status", row.status, word, why)
    if row.indexed_status == word:
        action = rebuild("challenges")
        return _difference(row, "status", row.status, word, "rebuild challenges", action)
    why = "rebuild chain_challenges; if it stays, materialize its blocks of chain_logs"
    return _difference(row, "status", row.status, word, why, rebuild("chain_challenges"))


def _outcome(row: ChallengeRow, found: OnChainChallenge) -> Difference:
    said, right = _OUTCOMES.get(row.outcome), _OUTCOMES.get(found.outcome)
    if row.outcome is None and row.indexed_status != "finalized":
        return Difference(
            "outcome",
            row.challenge_id,
            None,
            said or "none",
            right or "none",
            "write the contract's outcome",
            OUTCOME,
            (("outcome", found.outcome),),
        )
    if row.indexed_outcome == found.outcome:
        action = rebuild("challenges")
        return _difference(row, "outcome", said, right, "rebuild challenges", action)
    if row.indexed_status is None:
        return _difference(row, "outcome", said, right, "correct chain_outcome by hand")
    action = rebuild("chain_challenges")
    return _difference(row, "outcome", said, right, "rebuild chain_challenges", action)


def _difference(
    row: ChallengeRow,
    about: Literal["status", "outcome"],
    database: str | None,
    chain: str | None,
    repair: str,
    action: str | None = None,
) -> Difference:
    return Difference(
        about, row.challenge_id, None, database or "none", chain or "none", repair, action
    )


def _flags(row: ChallengeRow, patch: dict[str, object], database: str, chain: str) -> Difference:
    return Difference(
        "proof",
        row.challenge_id,
        None,
        database,
        chain,
        f"set {', '.join(patch)}",
        FLAGS,
        tuple(patch.items()),
    )


def _json(value: object) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
