"""From evidence records and a challenge's configuration to a verdict (RULES.md)."""

from .outcome import FinalWhen
from .verdict import (
    EVALUATORS,
    Evaluator,
    Evidence,
    Verdict,
    evaluate,
    holds_recognised_record,
    is_final,
)

__all__ = [
    "EVALUATORS",
    "Evaluator",
    "Evidence",
    "FinalWhen",
    "Verdict",
    "evaluate",
    "holds_recognised_record",
    "is_final",
]
