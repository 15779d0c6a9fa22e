"""Plausibility of one activity: a continuous GPS track and a heart rate that fits the sport."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from math import asin, cos, radians, sin, sqrt

from .activities import Activity

_EARTH_RADIUS_KM = 6371
_FURTHEST_APART_KM = 0.3
_FEWEST_POINTS = 3
_HEART_RATES = {"run": (110, 200), "cycle": (100, 190), "swim": (90, 180), "walk": (80, 160)}
_OTHER_HEART_RATES = (70, 200)


def gps_continuity(activity: Activity) -> tuple[Fraction, int]:
    """Share of consecutive points at most 300 m apart, and how many pairs are not (jumps).

    Fewer than three points prove nothing: share 0, no jumps.
    """
    if activity.gps is None:
        activity.gps = _continuity(activity.path())
    return activity.gps


def _continuity(path: Sequence[Sequence[float]]) -> tuple[Fraction, int]:
    if len(path) < _FEWEST_POINTS:
        return Fraction(0), 0
    pairs = len(path) - 1
    jumps = sum(
        _distance_km(*here[:2], *there[:2]) > _FURTHEST_APART_KM for here, there in pairwise(path)
    )
    return Fraction(pairs - jumps, pairs), jumps


def heart_rate_consistency(activity: Activity) -> Decimal:
    """1 when the average heart rate fits the activity's type, 0.3 when not, 0 when unknown."""
    rate = activity.average_heart_rate()
    if rate is None or activity.seconds() is None:
        return Decimal(0)
    low, high = _HEART_RATES.get(activity.kind, _OTHER_HEART_RATES)
    return Decimal(1) if low <= rate <= high else Decimal("0.3")


def _distance_km(lat: float, lon: float, other_lat: float, other_lon: float) -> float:
    """Haversine: the great circle between two points."""
    a, b = radians(lat), radians(other_lat)
    half = (
        sin((b - a) / 2) ** 2
        + cos(a) * cos(b) * sin(radians(other_lon) / 2 - radians(lon) / 2) ** 2
    )
    return 2 * _EARTH_RADIUS_KM * asin(min(1.0, sqrt(half)))
