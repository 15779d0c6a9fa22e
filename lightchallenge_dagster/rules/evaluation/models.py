"""Rules as typed values: parsed once per challenge, asked of every piece of its evidence."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

from .metrics import Metric

Op = Literal[">=", ">", "<=", "<", "=="]
OPS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
    "==": operator.eq,
}
GROWING_OPS = frozenset((">=", ">"))
"""Comparisons that a growing sum, once it holds, never breaks again."""


@dataclass(frozen=True, slots=True)
class Period:
    """A window of instants, both ends inclusive; None is open."""

    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """``metric op value``, with ``bound`` the value in the metric's base unit."""

    metric: Metric
    op: str
    value: Decimal
    bound: Decimal

    def holds(self, reading: Decimal | Fraction | None) -> bool:
        """Whether a reading in base units meets the condition; a missing one does not."""
        return reading is not None and OPS[self.op](reading, self.bound)


@dataclass(frozen=True, slots=True)
class DailyTarget:
    """So many consecutive days on whose sums every condition holds."""

    consecutive_days: Decimal
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class WeeklyTarget:
    """So many weeks, each with so many eligible records."""

    min_occurrences: Decimal
    per_weeks: Decimal


@dataclass(frozen=True, slots=True)
class AntiCheat:
    """Limits that every record in scope must keep; None is not asked."""

    min_gps_continuity: Decimal | None
    max_teleport_jumps: Decimal | None
    min_hr_consistency: Decimal | None


@dataclass(frozen=True, slots=True)
class SimplifiedFitness:
    """``{type:"fitness", metric, threshold, period, minDays?}``; ``bound`` is in base units."""

    path: str
    zone: tzinfo
    timezone: str
    metric: Metric
    threshold: Decimal
    bound: Decimal
    period: Literal["daily", "total", "average"]
    min_days: Decimal


@dataclass(frozen=True, slots=True)
class FullFitness:
    """``{challengeType, period, conditions?, dailyTarget?, weeklyTarget?, antiCheat?}``."""

    path: str
    zone: tzinfo
    timezone: str
    activity: str
    period: Period
    conditions: tuple[Condition, ...]
    daily: DailyTarget | None
    weekly: WeeklyTarget | None
    anti_cheat: AntiCheat | None
    competitive_metric: Metric

    @property
    def score_metric(self) -> Metric | None:
        """The first additive metric among the conditions, then the daily ones; else None."""
        asked = (*self.conditions, *(self.daily.conditions if self.daily else ()))
        return next((each.metric for each in asked if each.metric.additive), None)


GamingMetric = Literal["wins", "kills", "headshots", "kda"]


@dataclass(frozen=True, slots=True)
class SimplifiedGaming:
    """``{type:"gaming", metric, threshold, period, minMatches?}``."""

    path: str
    zone: tzinfo
    timezone: str
    metric: GamingMetric
    threshold: Decimal
    period: Literal["total", "per_match", "best_match"]
    min_matches: Decimal


CompetitiveGamingMetric = Literal["wins", "kills", "assists", "deaths", "kda", "damage"]


@dataclass(frozen=True, slots=True)
class FullGaming:
    """``{minWins?, hero?, rankedOnly?, period?, streakLength?}``."""

    path: str
    zone: tzinfo
    timezone: str
    period: Period
    ranked_only: bool
    hero: str | None
    min_wins: Decimal
    streak_length: Decimal | None
    competitive_metric: CompetitiveGamingMetric


FitnessRule = SimplifiedFitness | FullFitness
GamingRule = SimplifiedGaming | FullGaming
