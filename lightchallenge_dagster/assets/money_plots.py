"""The picture of what the wallets spend."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from lightchallenge_dagster.assets import figures

if TYPE_CHECKING:
    from lightchallenge_dagster.storage.money_views import Spend

#: What is paid for, in the order it happens, and the colour of each.
_KINDS = (
    ("AIVM requests", ("request", "reclaim"), figures.LINE),
    ("bindings", ("bind", "clear"), figures.SECOND),
    ("proofs", ("proof",), "#3fa66b"),
    ("finalize and the rest", ("finalize", "metadata", "fill"), figures.TEXT),
)
_LEAST_DAYS = 7
_WEI = 10**18


def draw_spend(found: Sequence[Spend]) -> bytes:
    """Bars of LCAI by UTC day, stacked by what they paid for."""
    from matplotlib import dates

    figure = figures.blank()
    axes: Any = figure.add_subplot()
    days = sorted({one.day for one in found})
    at: list[Any] = [datetime.combine(day, time(), UTC) for day in days]
    below = [0.0] * len(days)
    for name, kinds, colour in _KINDS:
        coins = [
            sum(one.wei for one in found if one.day == day and one.kind in kinds) / _WEI
            for day in days
        ]
        if any(coins):
            axes.bar(at, coins, bottom=below, color=colour, width=0.8, label=name)
        below = [low + more for low, more in zip(below, coins, strict=True)]
    spare = timedelta(days=max(0, _LEAST_DAYS - (at[-1] - at[0]).days) / 2 + 0.6)
    axes.set_xlim(at[0] - spare, at[-1] + spare)
    locator = dates.DayLocator(interval=max(1, (at[-1] - at[0]).days // 10))
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
    figures.dress(axes, "LCAI spent by UTC day")
    figures.legend(axes, columns=4)
    return figures.png(figure)
