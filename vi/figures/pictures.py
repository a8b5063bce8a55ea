"""Pictures of a model: samples, reconstructions, and the plane of a two-dimensional latent."""

import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.distributions import Independent, Normal
from torchvision.utils import make_grid

from vi.data.base import Batch, LoadedData, Split
from vi.errors import ViError
from vi.files.atomic import write_atomically
from vi.math import Shape
from vi.models.base import ExactModel, LatentVariableModel
from vi.training.seeding import seed_generators

_SAMPLES, _ROW, _PLANE = 64, 8, 15
_PAIRS = 32
_POINTS = 1000  # of a scatter plot
_COLUMNS = 4  # of a table
_GRID = 200  # points of a contour plot along each axis
_NARROW = 1e-3  # of its size: a narrower column is drawn around its centre
_DATA, _MODEL = "#0072b2", "#d55e00"


def save_pictures(
    model: LatentVariableModel, data: LoadedData, shape: Shape, run_dir: Path, seed: int
) -> list[Path]:
    """Write samples.png, reconstructions.png and, for z in the plane, latent_plane.png.

    The same model, data and seed give the same pictures; the random state is left as it was. A
    picture that fails is left out with a warning: nothing that was trained is lost for it.

    Args:
        model: On the device of the data.
        data: In the ``data_shape`` of the model; the test split is shown.
        shape: The data's own event shape: (C, H, W) for images, else a table.
        run_dir: Where the files go.
        seed: Of the samples.

    Returns:
        The paths that were written.
    """
    paths = []
    with or_warned("the pictures"):
        for name, figure in figures(model, data.test, shape, seed).items():
            with or_warned(name):
                save_figure(figure, run_dir / f"{name}.png")
                paths.append(run_dir / f"{name}.png")
    return paths


@contextmanager
def or_warned(what: str) -> Iterator[None]:
    """Within this block an error of drawing is a warning; one of writing stays an error."""
    try:
        yield
    except ViError:
        raise
    except Exception as error:  # whatever a library of drawing finds wrong
        reason = str(error).partition("\n")[0] or type(error).__name__
        warnings.warn(f"{what} could not be drawn: {reason}", stacklevel=2)


def is_image(shape: Shape) -> bool:
    """(channels, height, width)."""
    return len(shape) == 3


def figures(
    model: LatentVariableModel, split: Split, shape: Shape, seed: int
) -> dict[str, Figure]:
    """The pictures by name, with titles and axes."""
    if not is_image(shape):
        return _table_figures(model, split, seed)
    shown = grids(model, split, shape, seed)
    plane = shown.pop("latent_plane", None)
    found = {name: grid_figure(grid, name) for name, grid in shown.items()}
    return found if plane is None else found | {"latent_plane": _plane_figure(plane, model, split)}


def grids(
    model: LatentVariableModel, split: Split, shape: Shape, seed: int
) -> dict[str, Float[Tensor, "3 height width"]]:
    """The pictures of an image model as pixels in [0, 1], scaled where the data are not.

    ``samples``: E[x|z] for z ~ p(z), with the contexts of the data in order where the model is
    conditional. ``reconstructions``: a row of data above the row of E[x|z] at z = E_q[z].
    ``latent_plane``: E[x|z] over the quantiles of a normal prior in the plane. Of an exact model
    also ``components``, E[x|z] for every value of a discrete z, by falling weight; or
    ``directions``, E[x|z] at z = -2 e_d and 2 e_d in turn.
    """
    with undisturbed(model, seed):
        batch = _batch(split, _PAIRS)
        given = _contexts(split, _SAMPLES)
        again = model.reconstruct(batch.x, **batch.given)
        x = torch.stack([v.view(-1, _ROW * 2, *shape) for v in (batch.x, again)], dim=1)
        levels = min(0.0, batch.x.min().item()), max(1.0, batch.x.max().item())
        found = {
            "samples": _grid(model.sample_mean(_SAMPLES, **given).view(-1, *shape), _ROW, levels),
            "reconstructions": _grid(x.flatten(0, 2), _ROW * 2, levels),
        }
        atlas = model.atlas()
        if atlas is not None:
            name, z = atlas
            found[name] = _grid(model.likelihood(z).mean.view(-1, *shape), _ROW, levels)
        if _in_plane(model, batch):
            plane = _decode_plane(model, batch).view(-1, *shape)
            found["latent_plane"] = _grid(plane, _PLANE, levels)
    return found


def grid_figure(grid: Float[Tensor, "3 height width"], title: str) -> Figure:
    """A grid of images, every pixel a square."""
    figure = Figure(figsize=(6, 6 * grid.shape[1] / grid.shape[2] + 0.4), layout="constrained")
    _show_grid(figure.add_subplot(), grid, title)
    return figure


def _show_grid(axes: Axes, grid: Float[Tensor, "3 height width"], title: str) -> None:
    axes.imshow(grid.permute(1, 2, 0).numpy(force=True), interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(title)


def samples_figure(x: Tensor, shape: Shape) -> Figure:
    """Given draws alone, as a grid of images or as the scatter matrix of a table."""
    if is_image(shape):
        levels = min(0.0, x.min().item()), max(1.0, x.max().item())
        return grid_figure(_grid(x.view(-1, *shape), _ROW, levels), "samples")
    return _scatter_matrix({"model": (x.flatten(1), _MODEL)})


@contextmanager
def undisturbed(model: LatentVariableModel, seed: int) -> Iterator[None]:
    """Evaluation mode and the noise of the seed; afterwards both are as they were."""
    modes = {module: module.training for module in model.modules()}
    device = next(model.parameters()).device
    model.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng([device] if device.type == "cuda" else []):
            seed_generators(seed, device)
            yield
    finally:
        for module, training in modes.items():
            module.training = training


def _batch(split: Split, n: int) -> Batch:
    """n data, spread evenly; some again where there are fewer."""
    return split.batch(split.spread(n))


def _contexts(split: Split, n: int) -> dict[str, Tensor]:
    """What n samples are given: that of data spread evenly over the contexts, in order."""
    if "context" not in split.given:
        return {k: v[torch.arange(n) % len(split)] for k, v in split.given.items()}
    order = split.given["context"].argmax(-1).argsort(stable=True)
    spread = order[torch.arange(n, device=order.device) * len(split) // n]
    return {k: v[spread] for k, v in split.given.items()}


def _grid(
    images: Float[Tensor, "n C H W"], row: int, levels: tuple[float, float]
) -> Float[Tensor, "3 height width"]:
    low, high = levels
    grey = ((images - low) / (high - low)).clamp(0, 1)
    if grey.shape[1] not in (1, 3):  # channels that are no colours stand side by side
        grey = grey.permute(0, 2, 1, 3).flatten(2).unsqueeze(1)
    return make_grid(grey, nrow=row, padding=1, pad_value=0.5)


def _in_plane(model: LatentVariableModel, batch: Batch) -> bool:
    match model.prior(**batch.given):
        case Independent(base_dist=Normal(batch_shape=(2,))):
            return True
    return False


def _decode_plane(model: LatentVariableModel, batch: Batch) -> Tensor:
    """E[x|z] at the quantiles of the prior, z_1 to the right and z_2 upwards."""
    u = (torch.arange(_PLANE, device=batch.x.device) + 0.5) / _PLANE
    axes = torch.stack(torch.meshgrid(u, u.flip(0), indexing="xy"), dim=-1).view(-1, 2)
    z = cast(Independent, model.prior(**batch.given)).base_dist.icdf(axes)
    given = {k: v[:1].expand(len(z), *v.shape[1:]) for k, v in batch.given.items()}
    return model.likelihood(z, **given).mean


def _plane_figure(
    grid: Float[Tensor, "3 height width"] | None, model: LatentVariableModel, split: Split
) -> Figure:
    """The decoded plane, if there is one, and where the data lie in it, coloured by context."""
    with torch.no_grad():
        batch = _batch(split, min(len(split), _POINTS))
        z = model.encode(batch.x, **batch.given).numpy(force=True)
    figure = Figure(figsize=(11 if grid is not None else 6, 5.4), layout="constrained")
    *planes, means = figure.subplots(1, 2 if grid is not None else 1, squeeze=False)[0]
    if grid is not None:
        _show_grid(planes[0], grid, "E[x|z] at the quantiles of p(z)")
    if "context" in batch.given:
        labels = batch.given["context"].argmax(-1).numpy(force=True)
        points = means.scatter(z[:, 0], z[:, 1], s=8, c=labels, cmap="tab10")
        means.legend(*points.legend_elements(), title="context", fontsize="small")
    else:
        means.scatter(z[:, 0], z[:, 1], s=8, c=_DATA)
    means.set(title=r"$E_q[z]$ of the data", xlabel=r"$z_1$", ylabel=r"$z_2$", aspect="equal")
    return figure


def _table_figures(model: LatentVariableModel, split: Split, seed: int) -> dict[str, Figure]:
    with undisturbed(model, seed):
        batch = _batch(split, min(len(split), _POINTS))
        draws = model.sample(len(batch.x), **batch.given).flatten(1)
        again = model.reconstruct(batch.x, **batch.given).flatten(1)
    x = batch.x.flatten(1)
    found = {
        "samples": _scatter_matrix({"data": (x, _DATA), "model": (draws, _MODEL)}),
        "reconstructions": _reconstructions(x, again),
    }
    if _in_plane(model, batch):
        found["latent_plane"] = _plane_figure(None, model, split)
    exact = model.exact()
    if exact is not None and x.shape[1] == 2:
        found["density"] = _density_figure(exact, x)
    return found


def _density_figure(model: ExactModel, x: Float[Tensor, "n 2"]) -> Figure:
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
    axes.contour(across, up, shown, levels=levels, colors=_MODEL, linestyles="solid", linewidths=1)
    axes.scatter(*x.T.numpy(force=True), s=8, color=_DATA, alpha=0.6, linewidths=0)
    axes.set(title="data and the contours of p(x)", xlabel="$x_1$", ylabel="$x_2$")
    return figure


def _scatter_matrix(series: dict[str, tuple[Tensor, str]]) -> Figure:
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


def _centre(x: Tensor) -> Float[Tensor, " D"]:
    """What is subtracted before drawing: the median of a column far from 0, for its range."""
    x = x.double()
    low, high = (f(x.nan_to_num(), 0) for f in (torch.amin, torch.amax))
    far = high - low < _NARROW * torch.maximum(low.abs(), high.abs())
    return torch.where(far, x.nanmedian(0).values, 0.0)


def _label(column: int, centre: Tensor) -> str:
    shift = f" {-centre[column]:+.10g}" if centre[column] else ""
    return f"$x_{{{column + 1}}}${shift}"


def _draw(axes: Axes, x: Tensor, y: Tensor, name: str, colour: str, *, diagonal: bool) -> None:
    finite = x.isfinite() & y.isfinite()
    a, b = x[finite].numpy(force=True), y[finite].numpy(force=True)
    if diagonal and len(a):
        axes.hist(a, bins=30, density=True, histtype="step", color=colour, label=name)
    elif not diagonal:
        axes.scatter(a, b, s=4, alpha=0.5, color=colour, linewidths=0)


def _reconstructions(x: Tensor, again: Tensor) -> Figure:
    columns = min(_COLUMNS, x.shape[1])
    figure = Figure(figsize=(2.6 * columns + 0.6, 3), layout="constrained")
    centre = _centre(x)
    x, again = (v.double() - centre for v in (x, again))
    for d, axes in enumerate(figure.subplots(1, columns, squeeze=False)[0]):
        low, high = (f(x[:, d]).item() for f in (torch.min, torch.max))
        axes.plot([low, high], [low, high], color="0.7", linewidth=1)
        _draw(axes, x[:, d], again[:, d], "", _MODEL, diagonal=False)
        axes.set(xlabel=_label(d, centre), ylabel="reconstruction" if d == 0 else "")
    figure.suptitle(r"data against E[x|z] at z = $E_q[z]$")
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write it as PNG, whole or not at all.

    Raises:
        RunDirectoryError: See ``write_atomically``.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, bbox_inches="tight")
    write_atomically(path, buffer.getvalue())
