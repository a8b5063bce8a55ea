"""The E/M ledger as a picture."""

from collections.abc import Mapping, Sequence
from itertools import accumulate

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

_PHASES = {
    "e": ("E-steps", "#0072b2"),
    "m": ("M-steps", "#d55e00"),
    "joint": ("joint steps, no split", "0.6"),
}
_LINEAR = 1e-3  # nats; the logarithmic axis of single epochs is linear below


def ledger_figure(rows: Sequence[Mapping[str, float]]) -> Figure:
    """Draw the gain of each phase: accumulated and stacked, and epoch by epoch.

    Args:
        rows: One row for each epoch, with ``epoch``, ``e``, ``m`` and ``joint`` in nats per datum.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    whole, single = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in rows]
    shown = [phase for phase in _PHASES if any(row[phase] for row in rows)]
    names, colours = zip(*(_PHASES[phase] for phase in shown or _PHASES), strict=True)
    won = [[row[phase] for row in rows] for phase in shown or _PHASES]
    whole.stackplot(epochs, *map(list, map(accumulate, won)), labels=names, colors=colours)
    for nats, name, colour in zip(won, names, colours, strict=True):
        single.plot(epochs, nats, label=name, color=colour, marker=".", linewidth=1)
    single.set_yscale("symlog", linthresh=_LINEAR)
    single.axhline(0, color="0.8", linewidth=0.8)
    whole.set(title="won since the start", xlabel="epoch", ylabel="nats per datum")
    single.set(title="won in each epoch", xlabel="epoch", ylabel="nats per datum")
    for axes in (whole, single):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(*whole.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure
