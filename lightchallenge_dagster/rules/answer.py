"""The first sentence of an explanation: did this wallet pass, win, lose, or what is missing?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from .instants import instant


@dataclass(frozen=True, slots=True)
class Situation:
    """What the answer depends on.

    ``own_pass`` is what the evidence showed, None without a verdict. ``rank`` is None when the
    wallet is not ranked; ``ranking_state`` is provisional, closed, frozen, or None before the
    first ranking. ``stake`` is None where the chain's record of the challenge is not indexed.
    """

    competitive: bool
    evidence_rows: int
    own_pass: bool | None
    has_score: bool
    reasons: Sequence[str]
    stake: bool | None
    final: bool
    ranking_state: str | None
    ranking_closes_at: datetime | None
    submitted_at: datetime | None
    rank: int | None
    ranked: int | None
    top_n: int
    winner: bool


def answer(at: Situation) -> str:
    """The answer in one or two sentences."""
    if at.own_pass is None:
        return _without_verdict(at) + _stakeless(at)
    if not at.own_pass:
        return f"Failed: {_reasons(at.reasons)}" + _stakeless(at)
    if at.competitive:
        return _in_ranking(at)
    provisional = "" if at.final else " This is provisional: more evidence may still change it."
    return f"Passed: the evidence shows what the challenge asks.{provisional}" + _stakeless(at)


def _without_verdict(at: Situation) -> str:
    if at.evidence_rows:
        return "Not judged yet: there is evidence, and its verdict is still to come."
    return "No evidence: nothing was submitted by this wallet, so there is nothing to judge."


def _in_ranking(at: Situation) -> str:
    if at.rank is None:
        return f"Not ranked: {_why_not_ranked(at)}"
    place = f"rank {at.rank:,}" + (f" of {at.ranked:,}" if at.ranked else "")
    best = "the best one" if at.top_n == 1 else f"the best {at.top_n:,}"
    limit = f"{best} with a score above 0 win{'s' if at.top_n == 1 else ''}"
    if at.ranking_state in ("closed", "frozen"):
        return f"{'Won' if at.winner else 'Lost'}: {place}; {limit}."
    until = f" until {instant(at.ranking_closes_at)}" if at.ranking_closes_at else ""
    doing = "would win" if at.winner else "would not win"
    return f"As it stands {doing}: {place}; {limit}. The ranking is provisional{until}."


def _why_not_ranked(at: Situation) -> str:
    if at.stake is False:
        return "this wallet has no stake on chain, and only stakes are ranked."
    if not at.has_score:
        return "its verdict has no score."
    closed = at.ranking_state in ("closed", "frozen")
    late = at.submitted_at and at.ranking_closes_at and at.submitted_at > at.ranking_closes_at
    if closed and late and at.submitted_at and at.ranking_closes_at:
        return (
            f"its first evidence came at {instant(at.submitted_at)}, after the ranking closed "
            f"({instant(at.ranking_closes_at)})."
        )
    if closed:
        return "the ranking closed without it, so it does not win."
    return "the ranking does not hold this wallet yet; it follows by itself."


def _reasons(reasons: Sequence[str]) -> str:
    text = " ".join(reason if reason.endswith(".") else f"{reason}." for reason in reasons)
    return text or "no reason was noted."


def _stakeless(at: Situation) -> str:
    if at.stake is not False:
        return ""
    return " This wallet has no stake on chain, so it can win nothing here."
