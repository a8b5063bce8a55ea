"""Picture of predictive checks: statistics of the data among those of replicated data."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vi.diagnostics.predictive_check import PredictiveCheck
from vi.figures.style import DATA, MODEL

_NAMED, _LEVEL, _BINS = 8, 2, 20  # most parts that are named, and without turning; bins
_BAND = (2.5, 97.5)  # per cent of the replicates within a grey bar


def replicates_figure(checks: Sequence[PredictiveCheck]) -> Figure:
    """Draw each statistic in a row: replicates from p(x) on the left, from p(x|x_n) on the right.

    A single number has a histogram of its replicates with a line at the data. Several numbers have
    the middle 95 % of their replicates in grey, in standard deviations, with points at the data.

    Args:
        checks: The statistics, in the order of their replicates.
    """
    titles, kinds = (
        [*dict.fromkeys(names)] for names in ([c.title for c in checks], [c.of for c in checks])
    )
    size = 3.9 * len(kinds), 1.9 * len(titles) + 0.5
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(titles), len(kinds), squeeze=False)
    for check in checks:
        axes = grid[titles.index(check.title), kinds.index(check.of)]
        (_histogram if len(check.parts) == 1 else _intervals)(axes, check)
        axes.set_title(f"{check.title}: p = {check.p_value:.2g}", fontsize="small")
        axes.tick_params(labelsize="x-small")
    shown = [kind.replace("x_n", "$x_n$") for kind in kinds]
    told = f"statistics of the data among those of replicates from {' and '.join(shown)}"
    figure.suptitle(f"{told}\n(orange: the data, or those outside of 95 % of the replicates)")
    for axes, kind in zip(grid[-1], shown, strict=True):
        axes.set_xlabel(f"replicates from {kind}", fontsize="small")
    return figure


def _histogram(axes: Axes, check: PredictiveCheck) -> None:
    """Draw the replicates of a single number, and a line at the data."""
    values = check.replicates[:, 0].numpy(force=True)
    axes.hist(values, bins=_BINS, color=DATA, alpha=0.7)
    axes.axvline(check.data[0].item(), color=MODEL, linewidth=2)
    axes.set_ylabel("replicates", fontsize="small")


def _intervals(axes: Axes, check: PredictiveCheck) -> None:
    """Draw the middle of the replicates of each number, and the data, in standard deviations."""
    own, *others = check.deviations.numpy(force=True)
    low, high = np.percentile(np.array(others), _BAND, axis=0)
    place = np.arange(len(own))
    axes.use_sticky_edges = False
    axes.bar(place, high - low, bottom=low, width=0.8, color="0.8")
    outside = (own < low) | (own > high)
    for inside, colour in ((outside, MODEL), (~outside, DATA)):
        axes.scatter(place[inside], own[inside], s=10, color=colour, zorder=2)
    axes.set_ylabel("deviation (sd)", fontsize="small")
    if len(own) <= _NAMED:
        turned = {"rotation": 20, "ha": "right"} if len(own) > _LEVEL else {}
        axes.set_xticks(place, list(check.parts), **turned)
    else:
        axes.set_xticks([])
