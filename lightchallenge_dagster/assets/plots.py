"""Pictures on an asset's page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dagster import MarkdownMetadataValue, MetadataValue

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from lightchallenge_dagster.storage.lag import Sample

HOURS = 24
"""What the plot of the lag shows."""

_POINTS = 720
_COLOURS = 24

# Both of Dagster's themes have to carry it: no background of its own, and middle tones.
_TEXT = "#7d8590"
_LINE = "#4c8dff"
_VERIFIED = "#e8833a"
_LIMIT = "#d9534f"


def lag_plot(engine: Engine, chain_id: int, limit_blocks: int) -> MarkdownMetadataValue | None:
    """Blocks behind the head over the last day; None before there are two samples."""
    from lightchallenge_dagster.storage import lag

    with engine.connect() as connection:
        samples = lag.since(connection, chain_id, HOURS)
    if len(samples) < 2:
        return None
    png = base64.b64encode(draw_lag(thinned(samples), limit_blocks)).decode()
    now = samples[-1]
    return MetadataValue.md(
        f"![{now.lag_blocks} blocks behind](data:image/png;base64,{png})\n\n"
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
    # Half a second of imports: only runs pay for it.
    from matplotlib import dates
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator
    from PIL import Image

    figure = Figure(figsize=(7.6, 2.6), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    figure.patch.set_alpha(0.0)
    axes: Any = figure.add_subplot()
    axes.patch.set_alpha(0.0)
    at = [one.at for one in samples]
    behind = [one.lag_blocks for one in samples]
    checked = [None if one.verified is None else max(0, one.head - one.verified) for one in samples]
    if any(value is not None for value in checked):
        axes.plot(at, checked, color=_VERIFIED, linewidth=1.2, label="verified")
    axes.plot(at, behind, color=_LINE, linewidth=1.6, label="indexed")
    axes.fill_between(at, behind, color=_LINE, alpha=0.18, linewidth=0)
    if max([*behind, *(value or 0 for value in checked)]) > limit_blocks / 2:
        axes.axhline(limit_blocks, color=_LIMIT, linewidth=1, linestyle="--", label="limit")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    locator = dates.AutoDateLocator(minticks=3, maxticks=8)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
    axes.set_title("Blocks behind the head (UTC)", color=_TEXT, fontsize=10, loc="left")
    axes.tick_params(colors=_TEXT, labelsize=9)
    axes.xaxis.get_offset_text().set_color(_TEXT)
    axes.grid(axis="y", color=_TEXT, alpha=0.25, linewidth=0.6)
    for side, spine in axes.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(_TEXT)
    axes.legend(
        frameon=False,
        labelcolor=_TEXT,
        fontsize=9,
        ncols=3,
        loc="lower right",
        bbox_to_anchor=(1, 1),
        borderaxespad=0.1,
    )
    canvas.draw()
    pixels = Image.frombuffer("RGBA", canvas.get_width_height(), bytes(canvas.buffer_rgba()))
    small = pixels.quantize(_COLOURS, method=Image.Quantize.FASTOCTREE)
    file = io.BytesIO()
    small.save(file, format="PNG", optimize=True)
    return file.getvalue()


def _span(samples: Sequence[Sample]) -> str:
    minutes = (samples[-1].at - samples[0].at).total_seconds() / 60
    return f"{minutes / 60:.0f} hours" if minutes >= 120 else f"{minutes:.0f} minutes"
