"""Times for people."""

from __future__ import annotations

from datetime import UTC, datetime


def instant(moment: datetime) -> str:
    """``2026-03-08 22:00:00 UTC``, with what there is beyond the second."""
    at = moment.astimezone(UTC)
    beyond = f".{at.microsecond:06d}" if at.microsecond else ""
    return f"{at:%Y-%m-%d %H:%M:%S}{beyond} UTC"
