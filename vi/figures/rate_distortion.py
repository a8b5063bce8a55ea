"""Picture of models in the plane of rate and distortion."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vi.figures.style import DATA

_MARGIN = 0.15  # of the range of the points, around them


def rate_distortion_figure(points: Sequence[tuple[str, float, float]], split: str) -> Figure:
    """Draw models over lines of equal ELBO = -(R + D).

    Args:
        points: Label, rate and distortion of each model, in nats per datum.
        split: Of the data that were measured, for the title.

    >>> points = [("β = 1", 5.0, 16.0), ("β = 4", 1.0, 22.0)]
    >>> rate_distortion_figure(points, "test").axes[0].get_xlabel()
    'rate R = E KL(q(z|x) || p(z)) (nats per datum)'
    """
    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    axes = figure.add_subplot()
    along = sorted(points, key=lambda point: point[1])
    rate, distortion = [x for _, x, _ in along], [y for *_, y in along]
    axes.set(xlim=_around(rate), ylim=_around(distortion))
    _lines_of_equal_elbo(axes)
    axes.plot(rate, distortion, color=DATA, marker="o", linewidth=1)
    for label, x, y in along:
        place: dict[str, Any] = {"xytext": (6, 5), "textcoords": "offset points"}
        axes.annotate(label, (x, y), fontsize="small", **place)
    axes.set(
        xlabel="rate R = E KL(q(z|x) || p(z)) (nats per datum)",
        ylabel="distortion D = -E log p(x|z) (nats per datum)",
        title=f"rate and distortion on {split} data",
    )
    return figure


def _around(values: Sequence[float]) -> tuple[float, float]:
    """Return the limits of an axis around values."""
    margin = _MARGIN * (max(values) - min(values)) or 1.0
    return min(values) - margin, max(values) + margin


def _lines_of_equal_elbo(axes: Axes) -> None:
    """Draw R + D = constant at round values, each with its ELBO at the lower or right edge."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    for level in MaxNLocator(6).tick_values(left + bottom, right + top):
        ends = np.clip([left, right], level - top, level - bottom)
        if ends[0] >= ends[1] or ends[0] > right or ends[1] < left:
            continue
        axes.plot(ends, level - ends, color="0.8", linewidth=0.8, zorder=0)
        place: dict[str, Any] = {"ha": "right", "va": "bottom", "color": "0.45"}
        axes.text(ends[1], level - ends[1], f"ELBO {-level:g}", fontsize="x-small", **place)
