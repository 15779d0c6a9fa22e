"""When a step that costs or moves money may run: pure decisions on chain time.

Every ``…_ts`` is epoch seconds; ``chain_now_ts`` is the latest block's timestamp, because the
contracts compare against that and never against a machine's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lightchallenge_dagster.rules.prompt import is_hash32

BACKEND = "lightchain_poi"
MODEL_ID_MAX = 256
"""Characters. A request carries the model's id as it is, and each costs gas."""


@dataclass(frozen=True, slots=True)
class ProofFields:
    """What a challenge row must say before an AIVM request can be made for it.

    ``model_id`` from ``proof.modelId`` or ``challenges.model_id``, ``model_hash`` from
    ``challenges.model_hash``, the others from ``proof.paramsHash``, ``proof.benchmarkHash`` and
    ``proof.backend``.
    """

    model_id: str | None
    model_hash: str | None
    params_hash: str | None
    benchmark_hash: str | None
    backend: str | None

    def missing(self) -> tuple[str, ...]:
        """The fields that are absent or unusable, named as the web app writes them."""
        model_id = (self.model_id or "").strip()
        too_long = len(model_id) > MODEL_ID_MAX
        return tuple(
            name
            for name, present in (
                ("proof.modelId or model_id", bool(model_id)),
                (f"a proof.modelId of at most {MODEL_ID_MAX} characters", not too_long),
                ("model_hash", is_hash32(self.model_hash)),
                ("proof.paramsHash", is_hash32(self.params_hash)),
                ("proof.benchmarkHash", is_hash32(self.benchmark_hash)),
                ("proof.backend", (self.backend or "").strip().lower() == BACKEND),
            )
            if not present
        )


@dataclass(frozen=True, slots=True)
class DispatchFacts:
    """What is known about one active, unpaused challenge that has no AIVM job yet.

    ``passed``: its own subject or any staker holds a passing verdict (threshold mode).
    ``provisional_winners``: how many lead its ranking right now (competitive mode).
    ``end_ts``: when a competition's request goes out, which is its end, or earlier where its
    ranking has to close before that. ``problem``: why its configuration cannot be read, if so.
    """

    challenge_id: int
    mode: Literal["threshold", "competitive"]
    end_ts: int
    proof_deadline_ts: int
    passed: bool
    provisional_winners: int
    problem: str | None
    fields: ProofFields


@dataclass(frozen=True, slots=True)
class Gate:
    """Open, or shut for a reason a person can read."""

    open: bool
    reason: str = ""


def earned(facts: DispatchFacts, chain_now_ts: int) -> Gate:
    """Whether somebody has earned a request for this challenge by now, missing fields aside.

    A threshold challenge asks as soon as somebody passes, a competitive one from its end on (the
    answer does not depend on who wins), neither after the proof deadline: the fee would be lost.
    """
    if chain_now_ts > facts.proof_deadline_ts:
        return Gate(False, "the proof deadline has passed")
    if facts.mode == "threshold":
        return Gate(True) if facts.passed else Gate(False, "nobody has passed yet")
    if chain_now_ts < facts.end_ts:
        return Gate(False, "the competition is still running")
    if facts.provisional_winners < 1:
        return Gate(False, "nobody is ranked among the winners")
    return Gate(True)


#: A challenge that is known from the chain only is not requested until the web app gave it a rule.
NO_RULE = Gate(False, "it has no rule")


def dispatch_gate(facts: DispatchFacts, chain_now_ts: int) -> Gate:
    """Whether an AIVM job may be queued for this challenge now, given that it has a rule."""
    if facts.problem is not None:
        return Gate(False, f"its rule cannot be read: {facts.problem}")
    if missing := facts.fields.missing():
        return Gate(False, f"it lacks {', '.join(missing)}")
    return earned(facts, chain_now_ts)


def proof_window(start_ts: int, proof_deadline_ts: int, chain_now_ts: int) -> Gate:
    """Whether ChallengePay takes proofs now: both bounds belong to the window."""
    if chain_now_ts < start_ts:
        return Gate(False, "ProofNotOpen")
    if chain_now_ts > proof_deadline_ts:
        return Gate(False, "ProofWindowClosed")
    return Gate(True)
