"""Grids of small panels, laid out in inches, which avoids the slow layout solver."""

import math

import numpy as np
from jaxtyping import Shaped
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator, StrMethodFormatter

from vi.figures.column import Column

_PANEL = (1.7, 1.5)  # inches
_APART, _JOINED = (
    (0.5, 0.7),
    (0.12, 0.12),
)  # inches between panels with and without labels of their own
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.85, 0.15, 0.75, 0.65
_WIDE, _ROW = 6, 4  # most panels in a row; up to 4 panels fill one row
_TICKS = 4

Panels = Shaped[np.ndarray, "rows columns"]


def panels(rows: int, columns: int, *, joined: bool = False) -> tuple[Figure, Panels]:
    """Return a figure and its grid of panels.

    Args:
        rows: Number of rows.
        columns: Number of columns.
        joined: Whether the panels of a column share their horizontal axis and stand close.
    """
    width, height = _PANEL
    across, up = _JOINED if joined else _APART
    inner = columns * width + (columns - 1) * across, rows * height + (rows - 1) * up
    size = (max(3.6, inner[0] + _LEFT + _RIGHT), inner[1] + _TOP + _BOTTOM)
    figure = Figure(figsize=size)
    places = {
        "left": _LEFT / size[0],
        "right": 1 - _RIGHT / size[0],
        "bottom": _BOTTOM / size[1],
        "top": 1 - _TOP / size[1],
        "wspace": across / width,
        "hspace": up / height,
    }
    share = "col" if joined else False
    return figure, figure.subplots(rows, columns, sharex=share, squeeze=False, gridspec_kw=places)


def row_by_row(number: int) -> tuple[Figure, Panels]:
    """Return a figure with this number of panels in rows of equal width.

    Unused places in the last row stay empty.
    """
    wide = number if number <= _ROW else min(_WIDE, math.ceil(number / 2))
    figure, grid = panels(math.ceil(number / wide), wide)
    for axes in grid.flat[number:]:
        axes.remove()
    return figure, grid


def few_ticks(axes: Axes, across: Column, up: Column | None = None) -> None:
    """Limit the ticks to four on each axis, at whole numbers for columns of whole numbers."""
    axes.tick_params(labelsize="x-small")
    for axis, column in ((axes.xaxis, across), (axes.yaxis, up)):
        whole = column is not None and column.whole
        if column is None or column.scale == "linear":
            axis.set_major_locator(MaxNLocator(_TICKS, integer=whole))
        else:
            axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_locator(NullLocator())


def label(axes: Axes, across: str, up: str) -> None:
    """Label both axes in a small font."""
    axes.set_xlabel(across, fontsize="small")
    axes.set_ylabel(up, fontsize="small")


def headed(figure: Figure, title: str, of: Axes | None = None) -> None:
    """Add a title, and below it the legend of one panel, if given."""
    height = figure.get_figheight()
    figure.suptitle(title, y=1 - 0.1 / height, va="top", fontsize="medium")
    if of is not None:
        handles, names = of.get_legend_handles_labels()
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, 1 - 0.32 / height)}
        figure.legend(handles, names, fontsize="small", ncols=len(names), frameon=False, **place)
