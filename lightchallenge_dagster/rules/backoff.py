"""When to try again: later and later, and not everybody at the same moment."""

from __future__ import annotations


def delay_s(failures: int, first_s: float, longest_s: float, luck: float) -> float:
    """Seconds to wait after ``failures`` earlier ones: doubled each time, up to ``longest_s``.

    ``luck`` from 0 to 1 spreads those who failed together over the last half of that time.
    """
    whole = min(first_s * 2.0 ** min(failures, 32), longest_s)
    return whole * (0.5 + luck / 2)
