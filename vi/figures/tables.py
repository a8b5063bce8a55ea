"""A table of numbers: columns against each other, and against what a model makes of them."""

import math

import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from vi.data.base import Split
from vi.figures.latent_plane import is_plane, plane_figure
from vi.figures.shown import POINTS, spread_batch, undisturbed
from vi.figures.style import DATA, MODEL
from vi.models.base import LatentVariableModel
from vi.models.exact import ExactModel

_COLUMNS = 4
_GRID = 200  # points of a contour plot along each axis
_NARROW = 1e-3  # of its size: a narrower column is drawn around its centre


def table_figures(model: LatentVariableModel, split: Split, seed: int) -> dict[str, Figure]:
    """Draws beside data, reconstructions against data, where z is, and p(x) where it is known."""
    with undisturbed(model, seed):
        batch = spread_batch(split, min(len(split), POINTS))
        draws = model.sample(len(batch.x), **batch.given).flatten(1)
        again = model.reconstruct(batch.x, **batch.given).flatten(1)
    x = batch.x.flatten(1)
    found = {
        "samples": scatter_matrix({"data": (x, DATA), "model": (draws, MODEL)}),
        "reconstructions": _reconstructions(x, again),
    }
    if is_plane(model, batch):
        found["latent_plane"] = plane_figure(None, model, split)
    exact = model.exact()
    if exact is not None and x.shape[1] == 2:
        found["density"] = density_figure(exact, x)
    return found


def density_figure(model: ExactModel, x: Float[Tensor, "n 2"]) -> Figure:
    """The contours of p(x) under the data, from 99 % of its greatest value down to 1e-4 of it."""
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
    axes.set(title="data and the contours of p(x)", xlabel="$x_1$", ylabel="$x_2$")
    return figure


def scatter_matrix(series: dict[str, tuple[Tensor, str]]) -> Figure:
    """The first columns against each other; on the diagonal their histograms."""
    columns = min(_COLUMNS, next(iter(series.values()))[0].shape[1])
    centre = _centre(next(iter(series.values()))[0])
    series = {name: (x.double() - centre, colour) for name, (x, colour) in series.items()}
    figure = Figure(figsize=(2.2 * columns + 1, 2.2 * columns + 1), layout="constrained")
    for i, row in enumerate(figure.subplots(columns, columns, squeeze=False)):
        for j, axes in enumerate(row):
            for name, (x, colour) in series.items():
                _draw(axes, x[:, j], x[:, i], name, colour, diagonal=i == j)
            axes.set_xlabel(_label(j, centre) if i == columns - 1 else "")
            axes.set_ylabel(_label(i, centre) if j == 0 and i else "")
    figure.axes[0].legend(fontsize="small")
    figure.suptitle(" and ".join(series))
    return figure


def _reconstructions(x: Tensor, again: Tensor) -> Figure:
    columns = min(_COLUMNS, x.shape[1])
    figure = Figure(figsize=(2.6 * columns + 0.6, 3), layout="constrained")
    centre = _centre(x)
    x, again = (v.double() - centre for v in (x, again))
    for d, axes in enumerate(figure.subplots(1, columns, squeeze=False)[0]):
        low, high = (f(x[:, d]).item() for f in (torch.min, torch.max))
        axes.plot([low, high], [low, high], color="0.7", linewidth=1)
        _draw(axes, x[:, d], again[:, d], "", MODEL, diagonal=False)
        axes.set(xlabel=_label(d, centre), ylabel="reconstruction" if d == 0 else "")
    figure.suptitle(r"data against E[x|z] at z = $E_q[z]$")
    return figure


def _draw(axes: Axes, x: Tensor, y: Tensor, name: str, colour: str, *, diagonal: bool) -> None:
    finite = x.isfinite() & y.isfinite()
    a, b = x[finite].numpy(force=True), y[finite].numpy(force=True)
    if diagonal and len(a):
        axes.hist(a, bins=30, density=True, histtype="step", color=colour, label=name)
    elif not diagonal:
        axes.scatter(a, b, s=4, alpha=0.5, color=colour, linewidths=0)


def _centre(x: Tensor) -> Float[Tensor, " D"]:
    """What is subtracted before drawing: the median of a column far from 0, for its range."""
    x = x.double()
    low, high = (f(x.nan_to_num(), 0) for f in (torch.amin, torch.amax))
    far = high - low < _NARROW * torch.maximum(low.abs(), high.abs())
    return torch.where(far, x.nanmedian(0).values, 0.0)


def _label(column: int, centre: Tensor) -> str:
    shift = f" {-centre[column]:+.10g}" if centre[column] else ""
    return f"$x_{{{column + 1}}}${shift}"
