"""Differences from the best of several runs, as intervals."""

import math
from collections.abc import Mapping

from matplotlib.figure import Figure

from vi.figures.style import DATA, MODEL

_ARROW = 0.15  # of the width, for an end that is infinite


def differences_figure(best: str, rows: Mapping[str, tuple[float, float, float]]) -> Figure:
    """Draw for each run how far it lies from the best one, with its 95 % interval.

    An end that is infinite is drawn as an arrow. Intervals that exclude 0 are blue, others orange.

    Args:
        best: Name of the best run.
        rows: (value, lower, upper) of best - run by name, in nats per datum.
    """
    figure = Figure(figsize=(7, 1.3 + 0.4 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    finite = [x for row in rows.values() for x in (*row, 0.0) if math.isfinite(x)]
    wide = max(finite) - min(finite) or 1.0
    for y, (value, lower, upper) in enumerate(rows.values()):
        colour = DATA if lower > 0 or upper < 0 else MODEL
        ends = [lower, upper]
        for i, outwards in enumerate((-1, 1)):
            if math.isinf(ends[i]):
                ends[i] = value + outwards * _ARROW * wide
                style = {"arrowstyle": "->", "color": colour, "shrinkA": 0, "shrinkB": 0}
                axes.annotate("", (ends[i], y), (value, y), arrowprops=style)
            else:
                axes.plot(ends[i], y, marker="|", color=colour, markersize=9)
        axes.plot(ends, [y, y], color=colour, linewidth=1.5, zorder=1)
        axes.plot(value, y, marker="o", color=colour, markersize=5)
    axes.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.margins(x=0.08)
    axes.set(xlabel=f"log p(x) of {best} minus that of the run, nats per datum")
    axes.set_title("95 % intervals that hold together; an arrow where nothing bounds it")
    axes.title.set_fontsize("small")
    return figure
