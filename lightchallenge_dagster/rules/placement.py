"""Where a wallet stands in a ranking, in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from .evaluation.numbers import WRITTEN_OUT, plain
from .instants import instant


@dataclass(frozen=True, slots=True)
class Placed:
    """A row of ``public.rankings``."""

    subject: str
    rank: int
    score: Decimal | None
    winner: bool
    tie_break_at: datetime | None


def tie_break(above: Placed, below: Placed) -> str | None:
    """Why ``above`` comes before ``below`` although their scores are equal.

    None where the scores differ: they decide then.
    """
    if above.score is None or above.score != below.score:
        return None
    tied = f"{above.subject} and {below.subject} both have a score of {shown(above.score)}"
    earlier, later = above.tie_break_at, below.tie_break_at
    if earlier is None or later is None or earlier == later:
        when = "" if earlier is None else f", both at {instant(earlier)}"
        return f"{tied} and submitted at the same time{when}: the smaller wallet comes first."
    return (
        f"{tied}. The earlier evidence comes first: {above.subject} submitted at "
        f"{instant(earlier)}, {below.subject} at {instant(later)}, {_after(later - earlier)} later."
    )


def neighbourhood(subject: str, placed: Sequence[Placed]) -> list[str]:
    """Who is just above and below a wallet, by how much, and what a tie was decided by.

    ``placed`` holds the wallet, its neighbours and the last winner, by rank.
    """
    own = next((row for row in placed if row.subject == subject), None)
    if own is None:
        return []
    sentences: list[str] = []
    for other in placed:
        if other.rank == own.rank - 1:
            sentences.append(f"Just above: {_placed(other)}.")
        elif other.rank == own.rank + 1:
            sentences.append(f"Just below: {_placed(other)}.")
        elif other.winner and other.rank < own.rank:
            sentences.append(f"The last to win: {_placed(other)}.")
    return sentences + [
        sentence
        for above, below in _pairs_with(own, placed)
        if (sentence := tie_break(above, below))
    ]


def lost_tie(subject: str, placed: Sequence[Placed]) -> str | None:
    """What a wallet that does not win lost by, where a winner has the same score; else None."""
    own = next((row for row in placed if row.subject == subject), None)
    last = max((row for row in placed if row.winner), key=lambda row: row.rank, default=None)
    if own is None or last is None or own.winner:
        return None
    return tie_break(last, own)


def _pairs_with(own: Placed, placed: Sequence[Placed]) -> list[tuple[Placed, Placed]]:
    return [
        (other, own) if other.rank < own.rank else (own, other)
        for other in placed
        if other.rank != own.rank
        and (abs(other.rank - own.rank) == 1 or (other.winner and other.rank < own.rank))
    ]


def _placed(row: Placed) -> str:
    won = ", wins" if row.winner else ""
    return f"rank {row.rank:,}, {row.subject}, score {shown(row.score)}{won}"


def shown(score: Decimal | None) -> str:
    """A score as it counts: every digit of it, with an exponent where most would be zeros."""
    if score is None:
        return "none"
    if not score.is_finite():
        return str(score)
    number = plain(score)
    return f"{number:,f}" if abs(number.adjusted()) < WRITTEN_OUT else f"{number:e}"


def _after(span: timedelta) -> str:
    if span < timedelta(seconds=1):
        return f"{span.total_seconds():.6f} s"
    return str(timedelta(days=span.days, seconds=span.seconds)).replace(",", "")
