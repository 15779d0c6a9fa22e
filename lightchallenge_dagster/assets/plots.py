"""The picture of the indexer's lag."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dagster import MarkdownMetadataValue, MetadataValue

from lightchallenge_dagster.assets import figures

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from lightchallenge_dagster.storage.lag import Sample

HOURS = 24
"""What the plot of the lag shows."""

_POINTS = 720


def lag_plot(engine: Engine, chain_id: int, limit_blocks: int) -> MarkdownMetadataValue | None:
    """Blocks behind the head over the last day; None before there are two samples."""
    from lightchallenge_dagster.storage import lag

    with engine.connect() as connection:
        samples = lag.since(connection, chain_id, HOURS)
    if len(samples) < 2:
        return None
    now = samples[-1]
    plot = figures.picture(
        f"{now.lag_blocks} blocks behind", draw_lag(thinned(samples), limit_blocks)
    )
    return MetadataValue.md(
        f"{plot}\n\n"
        f"{now.lag_blocks} blocks ({now.lag_seconds} s of chain time) behind block {now.head};"
        f" at most {max(one.lag_blocks for one in samples)} in the {_span(samples)} shown."
    )


def thinned(samples: Sequence[Sample], points: int = _POINTS) -> list[Sample]:
    """At most ``points`` samples: of each stretch the one with the largest lag, and the last."""
    if len(samples) <= points:
        return list(samples)
    stretches = points - 1
    kept: list[Sample] = []
    for number in range(stretches):
        start = number * (len(samples) - 1) // stretches
        end = (number + 1) * (len(samples) - 1) // stretches
        kept.append(max(samples[start:end], key=lambda one: one.lag_blocks))
    return [*kept, samples[-1]]


def draw_lag(samples: Sequence[Sample], limit_blocks: int) -> bytes:
    """The plot as a PNG of a few kilobytes."""
    from matplotlib import dates
    from matplotlib.ticker import MaxNLocator

    figure = figures.blank()
    axes: Any = figure.add_subplot()
    at = [one.at for one in samples]
    behind = [one.lag_blocks for one in samples]
    checked = [None if one.verified is None else max(0, one.head - one.verified) for one in samples]
    if any(value is not None for value in checked):
        axes.plot(at, checked, color=figures.SECOND, linewidth=1.2, label="verified")
    axes.plot(at, behind, color=figures.LINE, linewidth=1.6, label="indexed")
    axes.fill_between(at, behind, color=figures.LINE, alpha=0.18, linewidth=0)
    if max([*behind, *(value or 0 for value in checked)]) > limit_blocks / 2:
        axes.axhline(limit_blocks, color=figures.LIMIT, linewidth=1, linestyle="--", label="limit")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    locator = dates.AutoDateLocator(minticks=3, maxticks=8)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
    figures.dress(axes, "Blocks behind the head (UTC)")
    figures.legend(axes)
    return figures.png(figure)


def _span(samples: Sequence[Sample]) -> str:
    minutes = (samples[-1].at - samples[0].at).total_seconds() / 60
    return f"{minutes / 60:.0f} hours" if minutes >= 120 else f"{minutes:.0f} minutes"
