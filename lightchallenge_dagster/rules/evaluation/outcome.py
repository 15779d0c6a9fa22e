"""What one evaluator says about one piece of evidence."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from .numbers import in_words

FinalWhen = Literal["now", "ends_at", "proof_deadline"]


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
