"""Pictures of a two-dimensional latent: decoded images, and positions of the data."""

from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.distributions import Independent, Normal

from vi.data.base import Batch, Split
from vi.figures.grid import show_grid
from vi.figures.shown import POINTS, spread_batch
from vi.figures.style import DATA
from vi.models.base import LatentVariableModel

PLANE = 15  # images along each axis
_COLOURS = 10  # contexts with distinct colours; more contexts have a continuous colour map
_MAPS = {True: "tab10", False: "turbo"}


def is_plane(model: LatentVariableModel, batch: Batch) -> bool:
    """Return whether p(z) is a normal distribution on R^2."""
    match model.prior(**batch.given):
        case Independent(base_dist=Normal(batch_shape=(2,))):
            return True
    return False


def decoded_plane(model: LatentVariableModel, batch: Batch) -> Tensor:
    """Return E[x|z] on a 15 x 15 grid of quantiles of the prior.

    z_1 rises to the right and z_2 upwards; the grid covers the prior evenly in probability.

    Returns:
        Means (225, *event), row by row from the upper left.
    """
    u = (torch.arange(PLANE, device=batch.x.device) + 0.5) / PLANE
    axes = torch.stack(torch.meshgrid(u, u.flip(0), indexing="xy"), dim=-1).view(-1, 2)
    z = cast(Independent, model.prior(**batch.given)).base_dist.icdf(axes)
    given = {k: v[:1].expand(len(z), *v.shape[1:]) for k, v in batch.given.items()}
    return model.likelihood(z, **given).mean


def plane_figure(
    grid: Float[Tensor, "3 height width"] | None, model: LatentVariableModel, split: Split
) -> Figure:
    """Draw the decoded plane, and E_q[z] of the data, coloured by context.

    Args:
        grid: The decoded plane as pixels; None for data that are not images.
        model: Model with a latent in the plane, on the device of the data.
        split: Data, of which at most 1000 are drawn.
    """
    with torch.no_grad():
        batch = spread_batch(split, min(len(split), POINTS))
        z = model.encode(batch.x, **batch.given).numpy(force=True)
    figure = Figure(figsize=(11.5 if grid is not None else 6, 5.4), layout="constrained")
    *planes, means = figure.subplots(1, 2 if grid is not None else 1, squeeze=False)[0]
    if grid is not None:
        show_grid(planes[0], grid, "E[x|z] at the quantiles of p(z)")
    if "context" in batch.given:
        labels = batch.given["context"].argmax(-1).numpy(force=True)
        _coloured(means, z, labels, batch.given["context"].shape[-1])
    else:
        means.scatter(z[:, 0], z[:, 1], s=8, c=DATA)
    means.set(title=r"$E_q[z]$ of the data", xlabel=r"$z_1$", ylabel=r"$z_2$")
    means.set_aspect("equal", adjustable="datalim")
    return figure


def _coloured(axes: Axes, z: np.ndarray, labels: np.ndarray, count: int) -> None:
    """Draw points with a colour for each context, and a legend beside the panel."""
    few = count <= _COLOURS
    last = (_COLOURS if few else count) - 1
    points = axes.scatter(*z.T, s=8, c=labels, cmap=_MAPS[few], vmin=0, vmax=last)
    if few:
        place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0)}
        axes.legend(*points.legend_elements(), title="context", fontsize="small", **place)
    else:
        cast(Figure, axes.figure).colorbar(points, ax=axes, label="context")
