"""The pictures of verdicts, rankings and reputation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from lightchallenge_dagster.assets import figures

if TYPE_CHECKING:
    from datetime import date

    from lightchallenge_dagster.storage.standing_views import Distribution, VerdictCount

_LEAST_DAYS = 7
_DAYS_NAMED = 10


def draw_pass_rate(days: Sequence[tuple[date, VerdictCount]]) -> bytes:
    """The share of each day's evidence that passes, above how much evidence there was."""
    from matplotlib import dates
    from matplotlib.ticker import MaxNLocator

    figure = figures.blank(2.9)
    share, amount = figure.subplots(2, sharex=True, height_ratios=[3, 2])
    at: list[Any] = [datetime.combine(day, time(), UTC) for day, _ in days]
    passing = [count.passed + count.outranked for _, count in days]
    failing = [count.failed for _, count in days]
    shares = [100 * good / count.verdicts for good, (_, count) in zip(passing, days, strict=True)]
    marker = "o" if len(days) <= 2 * _DAYS_NAMED else ""
    share.plot(at, shares, color=figures.LINE, linewidth=1.6, marker=marker, markersize=4)
    share.fill_between(at, shares, color=figures.LINE, alpha=0.18, linewidth=0)
    # Room for the line at 0 and at 100 %.
    share.set_ylim(-3, 105)
    share.set_yticks([0, 50, 100], ["0 %", "50 %", "100 %"])
    amount.bar(at, passing, color=figures.LINE, width=0.8, label="pass")
    amount.bar(at, failing, bottom=passing, color=figures.SECOND, width=0.8, label="fail")
    amount.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
    # A single day is not a bar across the page.
    spare = timedelta(days=max(0, _LEAST_DAYS - (at[-1] - at[0]).days) / 2)
    amount.set_xlim(at[0] - spare - timedelta(days=0.6), at[-1] + spare + timedelta(days=0.6))
    every = max(1, (at[-1] - at[0]).days // _DAYS_NAMED)
    locator = dates.DayLocator(interval=every)
    amount.xaxis.set_major_locator(locator)
    amount.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
    figures.dress(share, "Evidence that passes, by the UTC day it was first submitted")
    figures.dress(amount, "Verdicts")
    figures.legend(amount)
    return figures.png(figure)


def draw_scores(distributions: Sequence[Distribution]) -> bytes:
    """A histogram for each ranking, the winners' scores in a colour of their own."""
    from matplotlib.ticker import MaxNLocator

    figure: Any = figures.blank(2.4)
    panels: Any = figure.subplots(1, len(distributions), squeeze=False)[0]
    for axes, one in zip(panels, distributions, strict=True):
        steps = len(one.wallets)
        # Equal scores have no width; a bar needs one.
        width = (one.highest - one.lowest) / steps or max(1.0, abs(one.lowest)) / 10
        first = one.lowest if steps > 1 else one.lowest - width / 2
        left = [first + number * width for number in range(steps)]
        others = [all_ - won for all_, won in zip(one.wallets, one.winners, strict=True)]
        axes.bar(left, others, width, align="edge", color=figures.LINE, label="others")
        axes.bar(
            left,
            one.winners,
            width,
            bottom=others,
            align="edge",
            color=figures.SECOND,
            label="winners",
        )
        if steps == 1:
            axes.set_xlim(first - 4 * width, first + 5 * width)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
        figures.dress(axes, f"Challenge {one.challenge_id}")
    panels[0].set_ylabel("wallets", color=figures.TEXT, fontsize=9)
    # Bars may be anywhere in a panel, and titles are above it.
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        loc="outside upper right",
        ncols=2,
        frameon=False,
        labelcolor=figures.TEXT,
        fontsize=9,
        borderaxespad=0,
    )
    return figures.png(figure)


def draw_levels(wallets: Mapping[str, int]) -> bytes:
    """A bar for each level by its name, lowest first, with how many wallets have it."""
    from matplotlib.ticker import MaxNLocator

    figure = figures.blank(0.7 + 0.3 * len(wallets))
    axes: Any = figure.add_subplot()
    bars = axes.barh(list(wallets), list(wallets.values()), color=figures.LINE, height=0.65)
    axes.bar_label(bars, fmt="{:,.0f}", padding=4, color=figures.TEXT, fontsize=9)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    figures.dress(axes, "Wallets by level", grid="x")
    return figures.png(figure)
