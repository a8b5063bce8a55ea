"""Picture of predictive checks: statistics of the data among those of replicated data."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from vi.figures.style import DATA, MODEL

_NAMED, _BINS = 8, 20  # most parts that are named, bins of a histogram
_BAND = (2.5, 97.5)  # per cent of the replicates within a grey bar


class Checked(Protocol):
    """A statistic of the data and of replicated data; see ``vi.diagnoses.predictive_checks``."""

    title: str
    of: str
    parts: Sequence[str]
    data: Float[Tensor, " S"]
    replicates: Float[Tensor, "R S"]

    @property
    def deviations(self) -> Float[Tensor, "R1 S"]:
        """All values in standard deviations, those of the data first."""
        ...

    @property
    def p_value(self) -> float:
        """Of all numbers of the statistic at once."""
        ...


def replicates_figure(checks: Sequence[Checked]) -> Figure:
    """Draw each statistic in a row: replicates from p(x) on the left, from p(x|x_n) on the right.

    A single number has a histogram of its replicates with a line at the data. Several numbers have
    the middle 95 % of their replicates in grey, in standard deviations, with points at the data.

    Args:
        checks: The statistics, in the order of their replicates.
    """
    titles, kinds = (
        [*dict.fromkeys(of)] for of in zip(*((c.title, c.of) for c in checks), strict=True)
    )
    size = 3.9 * len(kinds), 1.9 * len(titles) + 0.5
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(titles), len(kinds), squeeze=False)
    for check in checks:
        axes = grid[titles.index(check.title), kinds.index(check.of)]
        (_histogram if len(check.parts) == 1 else _intervals)(axes, check)
        axes.set_title(f"{check.title}: p = {check.p_value:.2g}", fontsize="small")
        axes.tick_params(labelsize="x-small")
    told = " and ".join(kinds)
    figure.suptitle(f"data (orange) among replicates from {told}", fontsize="medium")
    for axes, kind in zip(grid[-1], kinds, strict=True):
        axes.set_xlabel(f"replicates from {kind}", fontsize="small")
    return figure


def _histogram(axes: Axes, check: Checked) -> None:
    """Draw the replicates of a single number, and a line at the data."""
    values = check.replicates[:, 0].numpy(force=True)
    axes.hist(values, bins=_BINS, color=DATA, alpha=0.7)
    axes.axvline(check.data[0].item(), color=MODEL, linewidth=2)
    axes.set_ylabel("replicates", fontsize="small")


def _intervals(axes: Axes, check: Checked) -> None:
    """Draw the middle of the replicates of each number, and the data, in standard deviations."""
    own, *others = check.deviations.numpy(force=True)
    low, high = np.percentile(np.array(others), _BAND, axis=0)
    place = np.arange(len(own))
    axes.bar(place, high - low, bottom=low, width=0.8, color="0.8")
    outside = (own < low) | (own > high)
    for inside, colour in ((outside, MODEL), (~outside, DATA)):
        axes.scatter(place[inside], own[inside], s=10, color=colour, zorder=2)
    axes.set_ylabel("deviation (sd)", fontsize="small")
    if len(own) <= _NAMED:
        axes.set_xticks(place, check.parts, rotation=20 if len(own) > 2 else 0)
    else:
        axes.set_xticks([])
