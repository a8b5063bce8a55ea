"""Picture of the curves of training."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vi.figures.style import DATA, MODEL

Rows = Sequence[Mapping[str, float]]

_PARTS = {"train": ("training", DATA), "val": ("validation", MODEL)}
_OBJECTIVE = "train/objective"
_TERMS = {"elbo": "ELBO", "kl": "KL", "reconstruction": "reconstruction"}
_START, _STEEP = (
    0.05,
    3.0,
)  # the first 5 % of the steps are cut off if they triple the height of a panel
_POINTS = 12  # curves of at most so many points have markers


def curves_figure(rows: Rows, bound: str | None = None, *, iterations: bool = False) -> Figure:
    """Draw ELBO, KL and reconstruction of training and validation, in nats per datum.

    Each term has a panel. Exact EM has another panel for its objective, which may contain the
    prior of the parameters. If the first twentieth of training would take most of the height of
    a panel, it is cut off.

    Args:
        rows: Values of the curves by name (``train/elbo`` and others), each row with its ``step``.
        bound: Title of the trained bound, which then has a panel; None if it is the ELBO.
        iterations: Whether the run consists of whole passes; if so, the axis counts iterations.

    >>> rows = [{"step": 1.0, "train/elbo": -9.0}, {"step": 2.0, "train/elbo": -8.0}]
    >>> [axes.get_title() for axes in curves_figure(rows).axes]
    ['ELBO', 'KL', 'reconstruction']
    """
    climbed = {"objective": "objective of EM"} if any(_OBJECTIVE in row for row in rows) else {}
    panels = ({"bound": bound} if bound else {}) | climbed | _TERMS
    axis = "spent/epochs" if iterations else "step"
    figure = Figure(figsize=(3.6 * len(panels), 3.4), layout="constrained")
    for axes, (term, title) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        for part, (name, colour) in _PARTS.items():
            points = _points(rows, axis, f"{part}/{term}", whole=iterations)
            if points:
                marker = "." if len(points) <= _POINTS else None
                axes.plot(*zip(*points, strict=True), color=colour, label=name, marker=marker)
        _without_the_start(axes)
        axes.set(title=title, xlabel="iteration" if iterations else "optimiser step")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    figure.axes[0].set_ylabel("nats per datum")
    lines = {str(line.get_label()): line for axes in figure.axes for line in axes.get_lines()}
    figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=len(_PARTS))
    return figure


def _points(rows: Rows, across: str, up: str, *, whole: bool) -> list[tuple[float, float]]:
    """Return the sorted points of a curve, from the rows that contain both columns.

    With ``whole``, points within an iteration are left out: they cover only part of the data.
    """
    found = [(row[across], row[up]) for row in rows if across in row and up in row]
    found = [(x, y) for x, y in found if not whole or float(x).is_integer()]
    return sorted(point for point in found if all(map(math.isfinite, point)))


def _without_the_start(axes: Axes) -> None:
    """Limit the vertical axis to the values after the start, if the start takes most of it."""
    points = [np.asarray(line.get_xydata()) for line in axes.get_lines()]
    if not points:
        return
    steps, values = np.concatenate(points).T
    late = values[steps >= _START * steps.max()]
    low, high = late.min(), late.max()
    if high > low and np.ptp(values) > _STEEP * (high - low):
        margin = 0.05 * (high - low)
        axes.set_ylim(low - margin, high + margin)
