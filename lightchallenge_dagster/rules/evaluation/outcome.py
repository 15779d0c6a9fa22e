"""What one evaluator says about one piece of evidence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from .numbers import in_words

FinalWhen = Literal["now", "ends_at", "proof_deadline"]

_LONG_ENOUGH = 700


@dataclass(frozen=True, slots=True)
class Outcome:
    """Pass or fail with its score, the reasons for a fail, and the numbers behind it.

    ``stands_when``: from when on more records cannot undo a pass (RULES.md "Judged when").
    """

    passed: bool
    score: Decimal | None
    reasons: tuple[str, ...] = ()
    breakdown: dict[str, Any] = field(default_factory=dict[str, Any])
    stands_when: FinalWhen = "proof_deadline"


def counted(number: int | Decimal, noun: str, plural: str | None = None) -> str:
    """``1 record``, ``2 records``, ``3 matches``."""
    return f"{in_words(number)} {noun if number == 1 else plural or noun + 's'}"


def listed(parts: Iterable[str], separator: str, count: int, noun: str) -> str:
    """``count`` parts in a row; of very many the first, and then ``… and 12 further conditions``.

    ``noun`` names one part. Parts that are not shown are not asked for.
    """
    shown: list[str] = []
    length = 0
    for part in parts:
        shown.append(part)
        length += len(part)
        if length > _LONG_ENOUGH and len(shown) < count:
            more = counted(count - len(shown), f"further {noun}")
            return f"{separator.join(shown)} … and {more}"
    return separator.join(shown)
