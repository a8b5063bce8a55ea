"""Pictures of a model: samples, reconstructions, and the plane of a two-dimensional latent."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from vi.data.base import LoadedData, Split
from vi.figures.grid import ROW, grid_figure, image_grid, is_image
from vi.figures.latent_plane import PLANE, decoded_plane, is_plane, plane_figure
from vi.figures.names import axis_names
from vi.figures.save import or_warned, save_figure
from vi.figures.shown import spread_batch, spread_contexts, undisturbed
from vi.figures.style import MODEL
from vi.figures.tables import scatter_matrix, table_figures
from vi.math import Shape
from vi.models.base import LatentVariableModel

_SAMPLES, _PAIRS = 64, 32
_TITLES = {
    "samples": "samples: E[x|z] at z from p(z)",
    "reconstructions": "data, and below each E[x|z] at z = $E_q[z]$",
    "components": "E[x|z] of every component, by falling weight",
    "directions": "E[x|z] at -2 and 2 along each axis of z",
}


def save_pictures(
    model: LatentVariableModel, data: LoadedData, shape: Shape, run_dir: Path, seed: int
) -> list[Path]:
    """Write samples.png, reconstructions.png and, for z in the plane, latent_plane.png.

    A table of more than six columns has also marginals.png. An exact model has also
    components.png or directions.png for images, and density.png for two columns.

    The same model, data and seed give the same pictures; the random state is restored. A picture
    that fails is left out with a warning, so that no training is lost.

    Args:
        model: Model on the device of the data.
        data: Data in the ``data_shape`` of the model. Pictures show the test split; the facts
            contain the names of the columns of a table.
        shape: Event shape of the data: (C, H, W) for images, else a table.
        run_dir: Folder of the files.
        seed: Seed of the samples.

    Returns:
        The paths of the files that were written.

    Raises:
        RunDirectoryError: A file cannot be written.
    """
    paths = []
    with or_warned("the pictures"):
        for name, figure in figures(model, data.test, shape, seed, data.facts).items():
            with or_warned(name):
                save_figure(figure, run_dir / f"{name}.png")
                paths.append(run_dir / f"{name}.png")
    return paths


def figures(
    model: LatentVariableModel, split: Split, shape: Shape, seed: int, facts: Mapping[str, Any]
) -> dict[str, Figure]:
    """Return the pictures by name, with titles and axes; ``facts`` contain the column names."""
    if not is_image(shape):
        return table_figures(model, split, seed, axis_names(facts, torch.Size(shape).numel()))
    shown = grids(model, split, shape, seed)
    plane = shown.pop("latent_plane", None)
    found = {name: grid_figure(grid, _title(name, split)) for name, grid in shown.items()}
    return found if plane is None else found | {"latent_plane": plane_figure(plane, model, split)}


def grids(
    model: LatentVariableModel, split: Split, shape: Shape, seed: int
) -> dict[str, Float[Tensor, "3 height width"]]:
    """Return the pictures of an image model as pixels in [0, 1].

    Data outside of [0, 1] are scaled to it.

    ``samples``: E[x|z] for z ~ p(z), with the contexts of the data in order if the model is
    conditional. ``reconstructions``: a row of data above the row of E[x|z] at z = E_q[z].
    ``latent_plane``: E[x|z] over the quantiles of a normal prior in the plane. An exact model has
    also ``components``, E[x|z] for every value of a discrete z, by falling weight; or
    ``directions``, E[x|z] at z = -2 e_d and 2 e_d in turn.
    """
    with undisturbed(model, seed):
        batch = spread_batch(split, _PAIRS)
        given = spread_contexts(split, _SAMPLES)
        again = model.reconstruct(batch.x, **batch.given)
        x = torch.stack([v.view(-1, ROW * 2, *shape) for v in (batch.x, again)], dim=1)
        levels = min(0.0, batch.x.min().item()), max(1.0, batch.x.max().item())
        drawn = model.sample_mean(_SAMPLES, **given).view(-1, *shape)
        found = {
            "samples": image_grid(drawn, ROW, levels),
            "reconstructions": image_grid(x.flatten(0, 2), ROW * 2, levels),
        }
        atlas = model.atlas()
        if atlas is not None:
            name, z = atlas
            found[name] = image_grid(model.likelihood(z).mean.view(-1, *shape), ROW, levels)
        if is_plane(model, batch):
            plane = decoded_plane(model, batch).view(-1, *shape)
            found["latent_plane"] = image_grid(plane, PLANE, levels)
    return found


def samples_figure(means: Tensor, shape: Shape, facts: Mapping[str, Any]) -> Figure:
    """Draw the means of samples as a grid of images, or as the scatter matrix of a table."""
    if is_image(shape):
        levels = min(0.0, means.min().item()), max(1.0, means.max().item())
        return grid_figure(image_grid(means.view(-1, *shape), ROW, levels), _TITLES["samples"])
    names = axis_names(facts, torch.Size(shape).numel())
    return scatter_matrix({"model": (means.flatten(1), MODEL)}, names, _TITLES["samples"])


def _title(name: str, split: Split) -> str:
    """Return the title of a picture, with a note if its samples are in the order of contexts."""
    ordered = name == "samples" and "context" in split.given
    return _TITLES.get(name, name) + (", in the order of their contexts" if ordered else "")
