"""Whether an inference request can still serve its challenge, and how its fee comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lightchallenge_dagster.rules.proof import expected_response_hash

REQUESTED, COMMITTED, REVEALED, FINALIZED, CANCELLED, TIMED_OUT, DISPUTED = range(1, 8)

Refund = Literal["cancelExpired", "timeoutReveal", "reclaimAfterFinalizeTimeout"]


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """One of ``AIVMInferenceV2.requests``: ``status`` 0 to 7, deadlines in epoch seconds."""

    status: int
    commit_deadline: int
    reveal_deadline: int
    finalize_deadline: int
    response_hash: str

    @property
    def deadline(self) -> int | None:
        """When the stage it is in runs out; None when it has none."""
        return {
            REQUESTED: self.commit_deadline,
            COMMITTED: self.reveal_deadline,
            REVEALED: self.finalize_deadline,
            DISPUTED: self.finalize_deadline,
        }.get(self.status)


@dataclass(frozen=True, slots=True)
class Fate:
    """``dead`` says why a request serves nobody any more, None while it may.

    ``refund``: the call by which the requester gets the fee back, None where there is nothing to
    get. ``answered``: it was answered, with something else; the worker has earned the fee.
    """

    dead: str | None = None
    refund: Refund | None = None
    answered: bool = False


_REFUNDS: dict[int, tuple[str, Refund]] = {
    REQUESTED: ("nobody committed to it in time", "cancelExpired"),
    COMMITTED: ("its answer was not revealed in time", "timeoutReveal"),
    REVEALED: ("it was not attested in time", "reclaimAfterFinalizeTimeout"),
    DISPUTED: ("its validators disagreed", "reclaimAfterFinalizeTimeout"),
}


def fate(request: RequestFacts, challenge_id: int, chain_now_ts: int) -> Fate:
    """What becomes of a challenge's request at ``chain_now_ts`` (epoch seconds, chain time).

    A deadline itself still belongs to its stage; from the second after it the request can never
    finalize (PROTOCOL.md, AIVMInferenceV2).
    """
    if request.status == FINALIZED:
        if request.response_hash == expected_response_hash(challenge_id):
            return Fate()
        return Fate("it was answered with another response", answered=True)
    if request.status in (CANCELLED, TIMED_OUT):
        return Fate("its fee was taken back")
    # A request that the contract does not know is no dead one: a node can be behind.
    if request.deadline is None or chain_now_ts <= request.deadline:
        return Fate()
    why, refund = _REFUNDS[request.status]
    return Fate(why, refund)
