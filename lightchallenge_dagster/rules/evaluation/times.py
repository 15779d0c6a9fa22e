"""Instants and time zones as challenge configurations and evidence write them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

_NUMBER = re.compile(r"[+-]?\d{1,20}(\.\d{1,20})?")
_MIDDLE = 5000
_MILLISECONDS_ABOVE = 10**12
_FIRST, _LAST = datetime(2, 1, 1, tzinfo=UTC), datetime(9998, 12, 31, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


_NO_IANA_NAMES = {"localtime", "posixrules", "Factory"}


@lru_cache(maxsize=1)
def _iana_names() -> set[str]:
    return available_timezones() - _NO_IANA_NAMES


@lru_cache(maxsize=1024)
def zone(name: str) -> tzinfo | None:
    """The IANA time zone ``name``, or None when there is none of that name.

    Other files of the machine's zone folder, such as its own local time, are no zones: they would
    judge by where the worker runs.
    """
    if name in {"UTC", "Etc/UTC", "Z"}:
        return UTC
    if name not in _iana_names():
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def from_iso(value: object, zone: tzinfo = UTC) -> datetime | None:
    """The instant (UTC) of an ISO text, read in ``zone`` where it has no offset.

    None for anything else, digits alone included: those are never ISO here.
    """
    if not isinstance(value, str) or value.isdigit():
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    return _to_utc(moment, zone)


def from_epoch(value: object, per_second: int = 1) -> datetime | None:
    """The instant of an epoch number (``per_second`` 1000 for milliseconds), else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return None
    try:
        seconds = value if per_second == 1 else value / per_second
        moment = datetime.fromtimestamp(float(seconds), UTC)
    except (ValueError, OverflowError, OSError, ArithmeticError):
        return None
    return moment if 1 < moment.year < 9999 else None


def from_epoch_or_clamped(seconds: int) -> datetime:
    """A chain time as an instant; beyond the calendar it is the last day of the year 9998."""
    moment = from_epoch(seconds)
    if moment is not None:
        return moment
    return _LAST if seconds > 0 else _FIRST


def day_of(value: object) -> date | None:
    """The calendar day a text names (``2026-03-01``), or None when it is no plain day."""
    if not isinstance(value, str):
        return None
    try:
        return date.fromisoformat(value.strip())
    except ValueError:
        return None


def noon(day: date, zone: tzinfo) -> datetime | None:
    """Local noon of ``day`` as an instant (UTC)."""
    return _to_utc(datetime.combine(day, time(12)), zone)


def bound(value: object, zone: tzinfo, *, last: bool) -> datetime | None:
    """One end of a window: ISO text, epoch seconds, or milliseconds above 1e12, also as text.

    A day alone stands for the whole of it: its first instant, or its last where ``last``.
    """
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = Decimal(value.strip())
    if isinstance(value, str):
        day = day_of(value)
        return from_iso(value, zone) if day is None else _edge(day, zone, last=last)
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        huge = value == value and value > _MILLISECONDS_ABOVE
        return from_epoch(value, 1000 if huge else 1)
    return None


def bound_or_clamped(value: object, zone: tzinfo, *, last: bool) -> datetime | None:
    """Like ``bound``, but a time at or beyond the calendar's ends is the last one there is.

    "9999-12-31" is how people write "for ever".
    """
    moment = bound(value, zone, last=last)
    if moment is not None:
        return moment
    sign = _beyond(value)
    return None if not sign else _LAST if sign > 0 else _FIRST


def _beyond(value: object) -> int:
    """1 for a time after the calendar, -1 for one before it, 0 for what is no time."""
    if isinstance(value, str):
        text = value.strip()
        if not _NUMBER.fullmatch(text):
            try:
                return 1 if datetime.fromisoformat(text).year > _MIDDLE else -1
            except ValueError:
                return 0
        value = Decimal(text)
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return 0
    finite = value.is_finite() if isinstance(value, Decimal) else value - value == 0
    return (1 if value > 0 else -1) if finite else 0


def _edge(day: date, zone: tzinfo, *, last: bool) -> datetime | None:
    if not 1 < day.year < 9999:
        return None
    if not last:
        return _to_utc(datetime.combine(day, time.min), zone)
    following = _to_utc(datetime.combine(day + timedelta(days=1), time.min), zone)
    return None if following is None else following - _MICROSECOND


def _to_utc(moment: datetime, zone: tzinfo) -> datetime | None:
    if not 1 < moment.year < 9999:
        return None
    if moment.tzinfo is UTC:
        return moment
    if moment.tzinfo is None:
        if zone is UTC:
            return moment.replace(tzinfo=UTC)
        moment = moment.replace(tzinfo=zone)
    return moment.astimezone(UTC)
