"""What can be asked of an activity: every metric name in RULES.md and how it is read."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from .activities import Activity
from .anticheat import gps_continuity, heart_rate_consistency
from .numbers import as_json, in_words

Reading = Decimal | Fraction | None
_ONE = Decimal(1)
_SECONDS = Decimal(60)
_KILOJOULES = Decimal("4.184")
_PLURAL = re.compile(r"\b(step|minute|calorie|session)s\b")


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's name, unit, and how one activity reads in it.

    ``read`` gives the base unit, ``per_unit`` of which make one (60 seconds are a minute), so that
    sums stay exact; None where the activity lacks it. With ``kind`` only activities of that type
    match. A metric that is not ``additive`` has no meaningful sum.
    """

    name: str
    unit: str
    read: Callable[[Activity], Reading]
    per_unit: Decimal = _ONE
    kind: str | None = None
    additive: bool = True

    def matches(self, activity: Activity) -> bool:
        """Whether the activity is of the metric's type."""
        return self.kind is None or activity.kind == self.kind

    def amount(self, activity: Activity) -> Decimal:
        """What the activity adds to a sum, in base units; 0 where it lacks the metric."""
        if self.kind is not None and activity.kind != self.kind:
            return Decimal(0)
        reading = self.read(activity)
        return reading if isinstance(reading, Decimal) else Decimal(0)

    def reading(self, activity: Activity) -> Reading:
        """What one activity reads, in base units; None where it lacks the metric."""
        if self.kind is not None and activity.kind != self.kind:
            return None
        return self.read(activity)

    def in_units(self, base: Decimal | Fraction) -> Fraction:
        """An amount in base units as an exact number of the metric's unit."""
        return Fraction(base) / Fraction(self.per_unit)

    def in_words(self, amount: Decimal | Fraction, digits: str | None = None) -> str:
        """An amount in the metric's unit for a sentence: ``1 step``, ``5.2 km``.

        ``digits`` is the amount as text, where it needs more decimals than usual.
        """
        unit = _PLURAL.sub(r"\1", self.unit) if amount == 1 else self.unit
        return f"{digits or in_words(amount)} {unit}"

    def shown(self, base: Decimal) -> int | float:
        """A sum in base units as a number to look at."""
        return as_json(base if self.per_unit is _ONE else base / self.per_unit)


def _gps_score(activity: Activity) -> Fraction:
    return gps_continuity(activity)[0]


STEPS = Metric("steps_count", "steps", Activity.steps)
DISTANCE = Metric("distance_km", "km", Activity.km)
DURATION = Metric("duration_min", "minutes", Activity.seconds, _SECONDS)
ACTIVE_MINUTES = Metric("active_minutes", "active minutes", Activity.seconds, _SECONDS)
EXERCISE_TIME = Metric("exercise_time", "exercise minutes", Activity.exercise_seconds, _SECONDS)
CALORIES = Metric("calories", "calories", Activity.kilojoules, _KILOJOULES)
CLIMB = Metric("elev_gain_m", "m of climb", Activity.climb)
SESSIONS = Metric("strength_sessions", "strength sessions", Activity.sessions, kind="strength")


def _distance_of(name: str, kind: str, verb: str) -> Metric:
    return Metric(name, f"km {verb}", Activity.km, kind=kind)


def _minutes_of(name: str, kind: str, noun: str) -> Metric:
    return Metric(name, f"minutes of {noun}", Activity.seconds, _SECONDS, kind)


_OF_A_TYPE = {
    metric.name: metric
    for metric in (
        _distance_of("walking_km", "walk", "walked"),
        _distance_of("cycling_km", "cycle", "cycled"),
        _distance_of("swimming_km", "swim", "swum"),
        _distance_of("hiking_km", "hike", "hiked"),
        _distance_of("rowing_km", "rowing", "rowed"),
        _minutes_of("yoga_min", "yoga", "yoga"),
        _minutes_of("hiit_min", "hiit", "HIIT"),
        SESSIONS,
    )
}

SIMPLIFIED = {
    "steps": Metric("steps", "steps", Activity.steps),
    "distance_km": DISTANCE,
    "active_minutes": ACTIVE_MINUTES,
    "exercise_time": EXERCISE_TIME,
    "calories": CALORIES,
    **_OF_A_TYPE,
}
"""Metrics of simplified rules."""

CONDITIONS = {
    "distance_km": DISTANCE,
    "duration_min": Metric("duration_min", "minutes", Activity.seconds_or_span, _SECONDS),
    "avg_pace_min_per_km": Metric(
        "avg_pace_min_per_km", "min/km on average", Activity.pace, additive=False
    ),
    "avg_speed_kmh": Metric("avg_speed_kmh", "km/h on average", Activity.speed, additive=False),
    "elev_gain_m": CLIMB,
    "avg_hr_bpm": Metric(
        "avg_hr_bpm", "bpm on average", Activity.average_heart_rate, additive=False
    ),
    "max_hr_bpm": Metric(
        "max_hr_bpm", "bpm at the peak", Activity.highest_heart_rate, additive=False
    ),
    "steps_count": STEPS,
    "calories": CALORIES,
    "active_minutes": ACTIVE_MINUTES,
    "exercise_time": EXERCISE_TIME,
    **_OF_A_TYPE,
    "swim_distance_km": _distance_of("swim_distance_km", "swim", "swum"),
    "crossfit_min": _minutes_of("crossfit_min", "hiit", "HIIT"),
    "gps_continuity_score": Metric(
        "gps_continuity_score", "GPS continuity", _gps_score, additive=False
    ),
    "hr_activity_consistency": Metric(
        "hr_activity_consistency", "heart-rate consistency", heart_rate_consistency, additive=False
    ),
}
"""Metrics of a full rule's conditions; only here ``duration_min`` may be end minus start."""

DAILY = {metric.name: metric for metric in (STEPS, DISTANCE, DURATION, ACTIVE_MINUTES)}
"""Metrics of a full rule's dailyTarget, summed over all types."""

COMPETITIVE = {
    metric.name: metric
    for metric in (STEPS, DISTANCE, DURATION, ACTIVE_MINUTES, CLIMB, CALORIES, EXERCISE_TIME)
}
"""What a competitive full rule can rank by; ``steps_count`` unless it says so."""

NATURAL = {
    **dict.fromkeys(("run", "walk", "hike", "cycle", "swim", "rowing"), DISTANCE),
    **dict.fromkeys(("yoga", "hiit"), DURATION),
    "steps": STEPS,
    "strength": SESSIONS,
    "calories": CALORIES,
    "exercise_time": EXERCISE_TIME,
}
"""What a full rule scores by when its conditions name nothing additive, by activity type."""
