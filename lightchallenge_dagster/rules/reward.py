"""Is a reward claimed, claimable, or why not: the database guide's source-of-truth rules.

A claim that happened comes first, then the outcome on chain, and only without one the verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

State = Literal["claimed", "none", "claimable", "refundable", "not final"]

SUCCESS, FAIL = 1, 2

CLAIM_WORDS = {
    "winner": "winner's reward, granted by ChallengePay",
    "loser": "cashback, granted by ChallengePay",
    "refund": "refund, granted by ChallengePay",
    "treasury_eth": "paid out by the Treasury",
}
"""What each claim of the present contracts is."""

_WITHOUT_PAYOUT = frozenset(("canceled", "rejected"))
_CALL_DECIDES = (
    "The wallet's own claim call decides (the web app simulates it live); "
    "this is what the index says."
)


@dataclass(frozen=True, slots=True)
class Claim:
    """A row of ``public.claims``. From the web app (``ui``) an amount of 0 is an unknown one."""

    claim_type: str
    amount_wei: int
    tx_hash: str | None
    source: str
    claimed_at: datetime


@dataclass(frozen=True, slots=True)
class Stand:
    """What a wallet's reward in a challenge is decided from.

    ``status`` and ``chain_outcome`` as in ``public.challenges``; ``passed`` is the verdict, None
    without one; ``leads`` is whether the ranking has the wallet among its winners, None where no
    ranking decides. ``indexed``: the chain's own record of the challenge is there; without it
    ``stake_wei`` and ``chain_winner`` say nothing.
    """

    status: str | None
    chain_outcome: int | None
    indexed: bool
    passed: bool | None
    chain_winner: bool
    stake_wei: int
    claims: Sequence[Claim] = ()
    leads: bool | None = None


@dataclass(frozen=True, slots=True)
class Reward:
    """The state of a reward, and why, in sentences."""

    state: State
    why: str


def reward(stand: Stand) -> Reward:
    """Where the wallet's reward stands."""
    claimed = [claim for claim in stand.claims if counts(claim, stand.indexed)]
    if claimed:
        kinds = dict.fromkeys(claim.claim_type for claim in claimed)
        what = ", ".join(CLAIM_WORDS.get(kind, kind) for kind in kinds)
        return Reward("claimed", f"Claimed: {what}.")
    if stand.chain_outcome == FAIL:
        return Reward(
            "none",
            "No reward: the challenge failed on chain (chain_outcome 2), and that decides whatever "
            "the verdict says.",
        )
    if stand.indexed and not stand.stake_wei and not stand.chain_winner:
        return Reward(
            "none", "Nothing to claim: this wallet has no stake in the challenge on chain."
        )
    if stand.chain_outcome == SUCCESS:
        return _of_a_success(stand)
    if (stand.status or "").lower() in _WITHOUT_PAYOUT:
        return Reward(
            "refundable",
            f"The challenge was {(stand.status or '').lower()}: there is no reward, and the stake "
            f"can be claimed back (claimRefund). {_CALL_DECIDES}",
        )
    return Reward("not final", _without_outcome(stand))


def counts(claim: Claim, on_v1: bool) -> bool:
    """Whether a claim took coins of this challenge.

    Claims that the indexer read from pre-V1 contracts are of another challenge with the same
    number; of its own an amount of 0 is a cashback of nothing.
    """
    if claim.source != "indexer":
        return True
    return claim.amount_wei > 0 and (claim.claim_type in CLAIM_WORDS or not on_v1)


def _of_a_success(stand: Stand) -> Reward:
    known = stand.indexed
    if stand.passed and (stand.chain_winner or not known):
        how = "is a winner on chain" if known else "passes by its verdict"
        return Reward(
            "claimable",
            f"Claimable (claimWinner): the challenge succeeded (chain_outcome 1) and the wallet "
            f"{how}. {_CALL_DECIDES}",
        )
    if stand.passed:
        return Reward(
            "none",
            "No reward: the verdict passes, but the wallet is no winner on chain, because no proof "
            "of it was accepted before the challenge was finalized.",
        )
    if stand.chain_winner:
        return Reward(
            "none",
            "Contradiction: the wallet is a winner on chain, but its verdict does not pass, so the "
            "web app offers no reward. See the check winners_have_verdicts.",
        )
    return Reward(
        "none",
        "No winner's reward: the challenge succeeded (chain_outcome 1) for others. At most there "
        f"is a cashback, where the challenge was created with one (claimLoser). {_CALL_DECIDES}",
    )


def _without_outcome(stand: Stand) -> str:
    start = "Not final: the chain has no outcome yet, so the verdict is all there is. "
    if stand.passed and stand.chain_winner:
        return start + (
            "It passes and the wallet is a winner on chain: claimable once the challenge is "
            "finalized."
        )
    if stand.passed is None:
        return start + "There is none, so nothing is claimable."
    if stand.leads is False:
        return start + "The ranking does not have the wallet win, so nothing is claimable."
    if stand.passed:
        return start + (
            "It passes; the reward also needs the proof on chain, which follows by itself, and "
            "finalizing."
        )
    return start + "It does not pass, so nothing is claimable as it stands."
