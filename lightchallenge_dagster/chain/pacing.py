"""When to ask again: waits between attempts, rests of endpoints, and what Retry-After asks for."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

BACKOFF_FIRST_S = 0.2
BACKOFF_MAX_S = 10.0
REST_FIRST_S = 2.0
REST_MAX_S = 300.0
RETRY_AFTER_MAX_S = 60.0
"""A node may ask for more; we look again after this long."""

_COST_SHARE = 4


def backoff_s(round_: int, chance: float) -> float:
    """Seconds to wait before the attempts of ``round_`` (1, 2, …): exponential, full jitter.

    ``chance`` is a draw from [0, 1).
    """
    return chance * min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2 ** min(round_, 30))


def rest_s(failures: int, took_s: float, chance: float) -> float:
    """Seconds for which an endpoint is not asked first after ``failures`` (1, 2, …) in a row.

    Doubles with each of them. One that costs much time to fail rests in proportion, so that
    trying it now and then never takes the larger part of the time.
    """
    grown = REST_FIRST_S * 2 ** min(failures - 1, 30)
    return min(REST_MAX_S, max(grown, _COST_SHARE * took_s)) * (0.5 + chance / 2)


def retry_after_s(value: str | None, now: datetime) -> float:
    """What a ``Retry-After`` header asks for, in seconds or as a date; 0 when it says nothing.

    Never more than ``RETRY_AFTER_MAX_S``.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        seconds = float(text[:9])
    else:
        at = http_date(text)
        seconds = 0.0 if at is None else (at - now).total_seconds()
    return min(RETRY_AFTER_MAX_S, max(0.0, seconds))


def http_date(value: str | None) -> datetime | None:
    """An HTTP date as an instant; None for text that is none."""
    try:
        at = parsedate_to_datetime(value or "")
    except (ValueError, OverflowError):
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
