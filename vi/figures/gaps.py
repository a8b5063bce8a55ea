"""Picture of the inference gap while a model trains: ELBO, amortization and approximation."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

_PARTS = {
    "amortization": ("amortization gap", "#e69f00"),
    "approximation": ("approximation gap", "#56b4e9"),
}
_LOW, _HIGH = "#d55e00", "#0072b2"
_FEW = 12  # curves of at most so many points have markers


def gaps_figure(rows: Sequence[Mapping[str, float]]) -> Figure:
    """Draw the gap from the ELBO up to log p(x), and beside it the two parts alone.

    The bars are two standard errors of the mean over the probe data.

    Args:
        rows: One row for each measurement: ``step``, ``elbo``, ``log_likelihood``,
            ``amortization`` and ``approximation``, the latter two with ``_error``, in nats per
            datum; ``is_known`` is 0 if log p(x) is only a lower bound.

    >>> row = {"step": 1.0, "elbo": -9.0, "log_likelihood": -7.0, "is_known": 1.0}
    >>> parts = {"amortization": 1.5, "approximation": 0.5}
    >>> errors = {"amortization_error": 0.1, "approximation_error": 0.1}
    >>> [axes.get_title() for axes in gaps_figure([row | parts | errors]).axes]
    ['from the ELBO to log p(x)', 'the parts of the gap']
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    whole, parts = figure.subplots(1, 2)
    steps = [row["step"] for row in rows]
    marker = "." if len(rows) <= _FEW else None
    is_known = all(row["is_known"] for row in rows)
    evidence = "log p(x)" if is_known else "log p(x), a lower bound"
    _stack(whole, rows, [row["elbo"] for row in rows])
    for name, label, colour in (("elbo", "ELBO", _LOW), ("log_likelihood", evidence, _HIGH)):
        whole.plot(steps, [row[name] for row in rows], color=colour, label=label, marker=marker)
    _stack(parts, rows, [0.0] * len(rows))
    _error_bars(parts, rows)
    whole.set(title="from the ELBO to log p(x)")
    parts.set(title="the parts of the gap")
    parts.axhline(0, color="0.8", linewidth=0.8)
    for axes in (whole, parts):
        axes.set(xlabel="optimiser step", ylabel="nats per datum")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    figure.legend(*whole.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def _stack(axes: Axes, rows: Sequence[Mapping[str, float]], floor: Sequence[float]) -> None:
    """Fill the two parts above a floor; a single measurement is a bar."""
    steps = [row["step"] for row in rows]
    for part, (label, colour) in _PARTS.items():
        top = [low + row[part] for low, row in zip(floor, rows, strict=True)]
        if len(rows) > 1:
            axes.fill_between(steps, floor, top, color=colour, label=label, linewidth=0)
        else:
            axes.bar(steps, [top[0] - floor[0]], 1.0, floor, color=colour, label=label)
            axes.set_xlim(steps[0] - 2, steps[0] + 2)
            axes.ticklabel_format(axis="x", useOffset=False)
        floor = top


def _error_bars(axes: Axes, rows: Sequence[Mapping[str, float]]) -> None:
    """Draw two standard errors at the upper ends of the two parts."""
    steps, top = [row["step"] for row in rows], [0.0] * len(rows)
    for part in _PARTS:
        top = [low + row[part] for low, row in zip(top, rows, strict=True)]
        bars = [2 * row[f"{part}_error"] for row in rows]
        axes.errorbar(steps, top, bars, color="0.3", linewidth=0.8, fmt="none", capsize=2)
