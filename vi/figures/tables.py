"""Pictures of tables: scatter matrices, histograms, reconstructions and densities."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from vi.data.base import Split
from vi.figures.column import Column
from vi.figures.latent_plane import is_plane, plane_figure
from vi.figures.names import of_columns
from vi.figures.panels import few_ticks, headed, label, panels, row_by_row
from vi.figures.shown import POINTS, spread_batch, undisturbed
from vi.figures.style import DATA, MODEL
from vi.models.base import LatentVariableModel
from vi.models.exact import ExactModel

Series = dict[str, tuple[Tensor, str]]
"""{name: (values (N, D), colour)}; the first entry determines scales and bins."""

_AGAINST, _ALONE = 6, 36  # most columns in a scatter matrix, and most histograms
_GRID = 200  # points of a contour plot along each axis
_NARROW = 1e-3  # a column with a smaller ratio of range to size is drawn around its centre


def table_figures(
    model: LatentVariableModel, split: Split, seed: int, names: Sequence[str]
) -> dict[str, Figure]:
    """Return the pictures of a model of a table, by name.

    ``samples`` (draws beside data), ``reconstructions`` (against the data), ``marginals`` for more
    than six columns, ``latent_plane`` for a normal prior on R^2, and ``density`` for an exact
    model of two columns.

    Args:
        model: Model on the device of the data.
        split: Data that are shown, at most 1000 of them.
        seed: Seed of the samples.
        names: Names of the columns, for the axes.
    """
    with undisturbed(model, seed):
        batch = spread_batch(split, min(len(split), POINTS))
        draws = model.sample(len(batch.x), **batch.given).flatten(1)
        again = model.reconstruct(batch.x, **batch.given).flatten(1)
    x = batch.x.flatten(1)
    if "observed" in batch.given:
        x = x.double().where(batch.given["observed"].flatten(1), torch.nan)
    series = {"data": (x, DATA), "model": (draws, MODEL)}
    found = {"samples": scatter_matrix(series, names)}
    if x.shape[1] > _AGAINST:
        found["marginals"] = histograms(series, names, "data and samples, column by column")
    found["reconstructions"] = _reconstructions(x, again, names)
    if is_plane(model, batch):
        found["latent_plane"] = plane_figure(None, model, split)
    exact = model.exact()
    if exact is not None and x.shape[1] == 2:
        found["density"] = density_figure(exact, x, names)
    return found


def density_figure(model: ExactModel, x: Float[Tensor, "n 2"], names: Sequence[str]) -> Figure:
    """Draw the data over contours of p(x), from 99 % of its largest value down to 1e-4 of it."""
    x = x[x.isfinite().all(1)]
    low, high = x.amin(0), x.amax(0)
    margin = 0.15 * (high - low)
    across, up = (
        torch.linspace(float(a), float(b), _GRID, dtype=torch.float64)
        for a, b in zip(low - margin, high + margin, strict=True)
    )
    where = torch.cartesian_prod(across, up).to(x.device)
    with torch.no_grad():
        log_p = model.log_evidence(where).view(_GRID, _GRID).mT
    figure = Figure(figsize=(6, 5.4), layout="constrained")
    axes = figure.add_subplot()
    levels = torch.linspace(math.log(1e-4), math.log(0.99), 10)
    shown = (log_p - log_p.max()).numpy(force=True)
    axes.contour(across, up, shown, levels=levels, colors=MODEL, linestyles="solid", linewidths=1)
    axes.scatter(*x.T.numpy(force=True), s=8, color=DATA, alpha=0.6, linewidths=0)
    axes.set(title="data and the contours of p(x)", xlabel=names[0], ylabel=names[1])
    return figure


def scatter_matrix(series: Series, names: Sequence[str], title: str = "") -> Figure:
    """Draw the first six columns against each other, with histograms on the diagonal."""
    count = len(names)
    shown = min(_AGAINST, count)
    series, names = _centred(series, names)
    columns = [Column(*(x[:, d] for x, _ in series.values())) for d in range(shown)]
    figure, grid = panels(shown, shown, joined=True)
    for i, row in enumerate(grid):
        for j, axes in enumerate(row):
            if j > i:
                axes.remove()
            elif j == i:
                _histogram(axes, columns[i], {k: (x[:, i], c) for k, (x, c) in series.items()})
            else:
                points = {k: (x[:, [j, i]], c) for k, (x, c) in series.items()}
                _scatter(axes, columns[j], columns[i], points)
            label(axes, names[j] if i == shown - 1 else "", names[i] if j == 0 and i else "")
            few_ticks(axes, columns[j], None if i == j else columns[i])
            axes.tick_params(labelleft=j == 0, labelbottom=i == shown - 1)
    grid[0, 0].set_ylabel("share", fontsize="small")
    headed(figure, (title or " and ".join(series)) + of_columns(shown, count), grid[0, 0])
    return figure


def histograms(series: Series, names: Sequence[str], title: str) -> Figure:
    """Draw a histogram of each column, up to 36; heights are shares of the values of a series."""
    count = len(names)
    shown = min(count, _ALONE)
    series, names = _centred(series, names)
    figure, grid = row_by_row(shown)
    for d, axes in enumerate(grid.flat[:shown]):
        parts = {name: (x[:, d], colour) for name, (x, colour) in series.items()}
        column = Column(*(x for x, _ in parts.values()))
        _histogram(axes, column, parts)
        label(axes, names[d], "share" if d % grid.shape[1] == 0 else "")
        few_ticks(axes, column)
    headed(figure, title + of_columns(shown, count), grid[0, 0])
    return figure


def _reconstructions(x: Tensor, again: Tensor, names: Sequence[str]) -> Figure:
    """Draw E[x|z] against x for each column, with the diagonal in grey."""
    count = len(names)
    series, names = _centred({"data": (x, DATA), "model": (again, MODEL)}, names)
    (x, _), (again, _) = series.values()
    shown = min(count, _ALONE)
    figure, grid = row_by_row(shown)
    for d, axes in enumerate(grid.flat[:shown]):
        column = Column(x[:, d])
        low, high = column.edges[0], column.edges[-1]
        axes.plot([low, high], [low, high], color="0.7", linewidth=1)
        _scales(axes, column.scale, column.scale)
        places, n = column.places(x[:, d], d), len(x)
        axes.scatter(places, again[:, d].numpy(force=True), **_marks(n), color=MODEL)
        label(axes, names[d], "E[x|z]" if d % grid.shape[1] == 0 else "")
        few_ticks(axes, column, column)
    title = "data against E[x|z] at z = $E_q[z]$"
    headed(figure, title + of_columns(shown, count))
    return figure


def _histogram(axes: Axes, column: Column, parts: Series) -> None:
    """Draw the shares of each series as steps."""
    for name, (x, colour) in parts.items():
        axes.stairs(column.shares(x), column.edges, color=colour, label=name)
    _scales(axes, column.scale, "linear")
    axes.set(xlim=_ends(column), ylim=(0, None))


def _scatter(axes: Axes, across: Column, up: Column, parts: Series) -> None:
    """Draw the points of all series in random order."""
    x = torch.cat([points for points, _ in parts.values()])
    colours = [colour for points, colour in parts.values() for _ in points]
    order = np.random.default_rng(0).permutation(len(x))  # so that no series hides another
    places = across.places(x[:, 0], 0)[order], up.places(x[:, 1], 1)[order]
    colour = np.array(colours)[order]
    axes.scatter(*places, **_marks(len(x) // len(parts)), c=colour)
    _scales(axes, across.scale, up.scale)
    axes.set(xlim=_ends(across), ylim=_ends(up))


def _ends(column: Column) -> tuple[float, float]:
    """Return the limits of an axis: the outer edges with a margin of 3 % on a linear scale."""
    low, high = column.edges[0], column.edges[-1]
    margin = 0.03 * (high - low) if column.scale == "linear" else 0.0
    return low - margin, high + margin


def _scales(axes: Axes, across: str, up: str) -> None:
    """Set logarithmic axes, linear up to 1, for counts with a long tail."""
    if across == "symlog":
        axes.set_xscale("symlog", linthresh=1)
    if up == "symlog":
        axes.set_yscale("symlog", linthresh=1)


def _marks(n: int) -> dict[str, Any]:
    """Return the style of n points; fewer points are larger."""
    return {"s": min(16.0, max(4.0, 2000 / max(1, n))), "alpha": 0.5, "linewidths": 0}


def _centred(series: Series, names: Sequence[str]) -> tuple[Series, list[str]]:
    """Subtract the centre of each column, and add it to the name of the column."""
    centre = _centre(next(iter(series.values()))[0])
    moved = {name: (x.double() - centre, colour) for name, (x, colour) in series.items()}
    return moved, list(_shifted(names, centre.tolist()))


def _shifted(names: Sequence[str], centre: Sequence[float]) -> Iterator[str]:
    """Iterate over the names, each with the number that was subtracted, if any."""
    for name, number in zip(names, centre, strict=True):
        yield f"{name} {-number:+.10g}" if number else name


def _centre(x: Tensor) -> Float[Tensor, " D"]:
    """Return the median of a column that is far from 0 relative to its range, else 0."""
    x = x.double()
    low, high = x.nan_to_num(torch.inf).amin(0), x.nan_to_num(-torch.inf).amax(0)
    far = high - low < _NARROW * torch.maximum(low.abs(), high.abs())
    return torch.where(far, x.nanmedian(0).values, 0.0)
