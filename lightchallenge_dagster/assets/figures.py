"""The house look of the pictures on assets' pages: small, quiet, readable on both themes."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Both of Dagster's themes have to carry it: no background of its own, and middle tones.
TEXT: Final = "#7d8590"
LINE: Final = "#4c8dff"
SECOND: Final = "#e8833a"
LIMIT: Final = "#d9534f"

WIDTH_IN: Final = 7.6
_COLOURS = 24


def blank(height_in: float = 2.6) -> Figure:
    """A see-through figure of the house width."""
    # Half a second of imports: only runs pay for it.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, height_in), dpi=100, layout="constrained")
    figure.patch.set_alpha(0.0)
    return figure


def dress(axes: Any, title: str = "", *, grid: str = "y") -> None:
    """Give axes the house look: grey text, two spines, a faint grid."""
    axes.patch.set_alpha(0.0)
    if title:
        axes.set_title(title, color=TEXT, fontsize=10, loc="left")
    axes.tick_params(colors=TEXT, labelsize=9)
    axes.xaxis.get_offset_text().set_color(TEXT)
    axes.set_axisbelow(True)
    axes.grid(axis=grid, color=TEXT, alpha=0.25, linewidth=0.6)
    for side, spine in axes.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(TEXT)


def legend(axes: Any, columns: int = 3) -> None:
    """The legend, beside the title."""
    axes.legend(
        frameon=False,
        labelcolor=TEXT,
        fontsize=9,
        ncols=columns,
        loc="lower right",
        bbox_to_anchor=(1, 1),
        borderaxespad=0.1,
    )


def png(figure: Figure) -> bytes:
    """The figure as a PNG of a few kilobytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = Image.frombuffer("RGBA", canvas.get_width_height(), bytes(canvas.buffer_rgba()))
    small = pixels.quantize(_COLOURS, method=Image.Quantize.FASTOCTREE)
    file = io.BytesIO()
    small.save(file, format="PNG", optimize=True)
    return file.getvalue()


def picture(described: str, image: bytes) -> str:
    """A PNG as Markdown; ``described`` is our own text."""
    return f"![{described}](data:image/png;base64,{base64.b64encode(image).decode()})"
