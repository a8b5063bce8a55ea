"""How training went, as a picture."""

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
_START, _STEEP = 0.05, 3.0  # the first steps are cut off where they are so much of the height
_POINTS = 12  # so few are marked one by one


def curves_figure(rows: Rows, bound: str | None = None, *, iterations: bool = False) -> Figure:
    """ELBO, KL and reconstruction in nats per datum, training and validation in one panel each.

    Of exact EM also its objective, which may contain the prior of the parameters.

    Where the first twentieth of training would take most of the height of a panel, it is cut off.

    Args:
        rows: The curves by name, ``train/elbo`` and others, each with its ``step``.
        bound: What the trained bound is called, which then has a panel; None where it is the ELBO.
        iterations: Whether the run consists of whole passes, which are then counted.
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
    """Both numbers where both are known; within an iteration they are of a part of the data."""
    found = [(row[across], row[up]) for row in rows if across in row and up in row]
    found = [(x, y) for x, y in found if not whole or float(x).is_integer()]
    return sorted(point for point in found if all(map(math.isfinite, point)))


def _without_the_start(axes: Axes) -> None:
    """Let the curves fill the panel once they have left where they began."""
    points = [np.asarray(line.get_xydata()) for line in axes.get_lines()]
    if not points:
        return
    steps, values = np.concatenate(points).T
    late = values[steps >= _START * steps.max()]
    low, high = late.min(), late.max()
    if high > low and np.ptp(values) > _STEEP * (high - low):
        margin = 0.05 * (high - low)
        axes.set_ylim(low - margin, high + margin)
