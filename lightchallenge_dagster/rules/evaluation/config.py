"""What a challenge asks, as the evaluators see it. ``rules.challenge`` reads it from the row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Literal

from .models import FitnessRule, GamingRule

Mode = Literal["threshold", "competitive"]

UNREADABLE_SOURCE = "(unreadable)"
"""The one accepted source of a model whose sources cannot be read: no provider has this name."""


@dataclass(frozen=True, slots=True)
class ChallengeConfig:
    """A parsed challenge configuration.

    Fitness evidence is judged by ``fitness_rule``, gaming evidence by ``gaming_rule``. Where a rule
    of that kind is malformed, ``fitness_problem`` or ``gaming_problem`` names the path and the
    evidence fails. ``has_rule``: there is a rule of any kind, be it malformed. ``problem`` is the
    first thing wrong anywhere, ``topN`` included, for whoever watches over configurations.
    ``top_n`` and ``competitive_metric`` (as written) matter in competitive mode only. ``zone`` is
    where a bare date is placed. Times are aware UTC, None where unknown.
    """

    mode: Mode = "threshold"
    top_n: int = 1
    competitive_metric: str | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    proof_deadline: datetime | None = None
    timezone: str = "UTC"
    zone: tzinfo = UTC
    fitness_rule: FitnessRule | None = None
    gaming_rule: GamingRule | None = None
    fitness_problem: str | None = None
    gaming_problem: str | None = None
    has_rule: bool = False
    problem: str | None = None

    @property
    def competitive(self) -> bool:
        """Whether a ranking decides who wins."""
        return self.mode == "competitive"


PREVIEW = ChallengeConfig()
"""Previews and unknown challenges: no rule, no window."""
