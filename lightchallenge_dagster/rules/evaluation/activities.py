"""Fitness records: which are activities, what they measured, and why others are left out.

RULES.md "Fitness records". An activity keeps its raw record; its quantities are known to be valid
and are converted only when a metric asks for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from fractions import Fraction
from typing import Any, cast

from .numbers import exact, quantity_problem
from .sifting import Sifted
from .times import day_of, from_epoch, from_iso, noon

_TYPES = {
    "run": "run virtualrun trail_run trailrun running",
    "walk": "walk walking distance",
    "hike": "hike hiking trail mountaineering",
    "cycle": "cycle cycling bike ride virtualride ebikeride mountainbikeride gravelride",
    "swim": "swim swimming openwater openwatersw",
    "strength": "strength weighttraining weight_training weights strength_training "
    "functional_training",
    "yoga": "yoga pilates flexibility",
    "hiit": "hiit crossfit crosstraining cross_training highintensityintervaltraining "
    "mixed_cardio mixedcardio workout circuit_training",
    "rowing": "rowing rowing_machine indoor_rowing indoorrowing virtualrowing",
    "exercise_time": "exercise_time",
    "calories": "calories active_energy calorie_burn",
    "steps": "steps",
}
_CANONICAL = {alias: kind for kind, aliases in _TYPES.items() for alias in aliases.split()}

_QUANTITIES: dict[str, None] = dict.fromkeys(
    (
        "distance_km",
        "distance_m",
        "duration_min",
        "duration_s",
        "steps_count",
        "steps",
        "avg_hr_bpm",
        "average_heartrate",
        "max_hr_bpm",
        "max_heartrate",
        "elev_gain_m",
        "total_elevation_gain",
        "calories",
        "kilojoules",
        "sessions",
        "exercise_minutes",
    )
)
_SIXTY = Decimal(60)
_KILOJOULES_PER_KILOCALORIE = Decimal("4.184")


def activity_type(name: object) -> str | None:
    """The canonical type behind any spelling of it (``VirtualRide`` is ``cycle``), or None."""
    return _CANONICAL.get(name.strip().lower()) if isinstance(name, str) else None


@dataclass(slots=True, eq=False)
class Activity:
    """One valid fitness record. Quantities are in the base units of their method's name.

    ``gps`` keeps what ``anticheat.gps_continuity`` found: a path may be long, and asked for often.
    """

    kind: str
    start: datetime
    end: datetime
    raw: Mapping[str, Any]
    gps: tuple[Fraction, int] | None = None

    def _first(self, name: str, other: str) -> Decimal | None:
        value = self.raw.get(name)
        if value is None:
            value = self.raw.get(other)
        return None if value is None else exact(value)

    def km(self) -> Decimal | None:
        """Distance in kilometres."""
        value = self.raw.get("distance_km")
        if value is not None:
            return exact(value)
        value = self.raw.get("distance_m")
        return None if value is None else exact(value).scaleb(-3)

    def seconds(self) -> Decimal | None:
        """The duration that the record states."""
        value = self.raw.get("duration_min")
        if value is not None:
            return exact(value) * _SIXTY
        value = self.raw.get("duration_s")
        return None if value is None else exact(value)

    def seconds_or_span(self) -> Decimal:
        """The stated duration, else end minus start."""
        stated = self.seconds()
        if stated is not None:
            return stated
        span = self.end - self.start
        return Decimal(span.days * 86400 + span.seconds) + Decimal(span.microseconds).scaleb(-6)

    def exercise_seconds(self) -> Decimal | None:
        """Exercise minutes where the record has them, else its duration."""
        value = self.raw.get("exercise_minutes")
        return self.seconds() if value is None else exact(value) * _SIXTY

    def steps(self) -> Decimal | None:
        """Steps counted."""
        return self._first("steps_count", "steps")

    def kilojoules(self) -> Decimal | None:
        """Energy burnt, in kilojoules, because kilocalories would round."""
        value = self.raw.get("calories")
        if value is not None:
            return exact(value) * _KILOJOULES_PER_KILOCALORIE
        value = self.raw.get("kilojoules")
        return None if value is None else exact(value)

    def climb(self) -> Decimal | None:
        """Elevation gain in metres."""
        return self._first("elev_gain_m", "total_elevation_gain")

    def average_heart_rate(self) -> Decimal | None:
        """Beats per minute over the activity."""
        return self._first("avg_hr_bpm", "average_heartrate")

    def highest_heart_rate(self) -> Decimal | None:
        """Beats per minute at the peak."""
        return self._first("max_hr_bpm", "max_heartrate")

    def sessions(self) -> Decimal:
        """How many sessions the record stands for."""
        value = self.raw.get("sessions")
        return Decimal(1) if value is None else exact(value)

    def pace(self) -> Fraction | None:
        """Minutes per kilometre."""
        km, seconds = self.km(), self.seconds()
        return Fraction(seconds) / 60 / Fraction(km) if km and seconds else None

    def speed(self) -> Fraction | None:
        """Kilometres per hour."""
        km, seconds = self.km(), self.seconds()
        return Fraction(km) * 3600 / Fraction(seconds) if km and seconds else None

    def path(self) -> Sequence[Sequence[float]]:
        """GPS points, latitude first; empty when there are none."""
        return self.raw.get("gps_path") or ()


def read_activities(records: Sequence[object], zone: tzinfo) -> Sifted[Activity]:
    """Sort ``records`` into valid activities and counted reasons; ``zone`` places a bare date."""
    sifted: Sifted[Activity] = Sifted()
    for record in records:
        if not isinstance(record, dict):
            sifted.drop("a record is not an object")
            continue
        raw = cast("dict[str, Any]", record)
        kind = activity_type(raw.get("type"))
        if kind is None:
            sifted.drop("the activity type is missing or unknown")
            continue
        start = _start(raw, zone)
        if start is None:
            sifted.drop("a record has no start time")
            continue
        end = from_iso(raw.get("end")) or from_epoch(raw.get("end_ts")) or start
        problem = _problem(raw, start, end)
        if problem is None:
            sifted.kept.append(Activity(kind, start, end, raw))
        else:
            sifted.reject(problem)
    return sifted


def _start(raw: dict[str, Any], zone: tzinfo) -> datetime | None:
    start = from_iso(raw.get("start")) or from_epoch(raw.get("start_ts"))
    if start is not None:
        return start
    text = raw.get("date")
    day = day_of(text)
    return from_iso(text) if day is None else noon(day, zone)


def _problem(raw: dict[str, Any], start: datetime, end: datetime) -> str | None:
    if end < start:
        return "a record ends before it starts"
    problem = quantity_problem(raw, _QUANTITIES)
    if problem is not None:
        return problem
    path = raw.get("gps_path")
    return None if path is None else _path_problem(path)


def _path_problem(path: object) -> str | None:
    if not isinstance(path, list):
        return "gps_path is not a list of points"
    for point in cast("list[Any]", path):
        if not isinstance(point, list) or len(cast("list[Any]", point)) < 2:
            return "gps_path holds something that is not a [lat, lon] point"
        for value, most in zip(cast("list[Any]", point), (90, 180), strict=False):
            if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
                return "gps_path holds something that is not a [lat, lon] point"
            if not -most <= value <= most:
                return "a GPS point is out of range"
    return None
