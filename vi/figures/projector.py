"""Files for TensorBoard's projector, which shows the positions of data in the latent space."""

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from torchvision.utils import save_image

from vi.figures.grid import image_grid
from vi.files.atomic import write_atomically

_SIDE = 64  # pixels of an image, at most
_AXES = 3  # TensorBoard draws no points with fewer coordinates; zeros are added
_FOLDER = "projector"
_CONFIG = "projector_config.pbtxt"  # the name that TensorBoard looks for beside the curves


def save_projector(
    points: Float[Tensor, "n dim"],
    columns: Mapping[str, Tensor],
    images: Float[Tensor, "n C H W"] | None,
    folder: Path,
) -> None:
    """Write the files of TensorBoard's projector; those of an earlier call are replaced.

    Args:
        points: One row for each datum.
        columns: Labels (n,) by name, by which points can be labelled and coloured.
        images: Images that are shown as points, scaled down to 64 pixels; None for dots.
        folder: Folder of the curves.

    Raises:
        RunDirectoryError: The disk is full or the folder cannot be written.
    """
    places = {"tensor_path": "encodings.tsv", "metadata_path": "metadata.tsv"}
    rows = functional.pad(points, (0, max(0, _AXES - points.shape[1]))).tolist()
    _write_table(folder / _FOLDER / places["tensor_path"], rows)
    labels = zip(*(column.tolist() for column in columns.values()), strict=True)
    _write_table(folder / _FOLDER / places["metadata_path"], [list(columns), *labels])
    lines = ['tensor_name: "encodings"']
    lines += [f'{name}: "{_FOLDER}/{path}"' for name, path in places.items()]
    if images is not None:
        lines.append(_save_sprite(images, folder))
    text = "embeddings {\n" + "".join(f"  {line}\n" for line in lines) + "}\n"
    write_atomically(folder / _CONFIG, text.encode(), durable=False)


def _write_table(path: Path, rows: list) -> None:
    """Write rows as a table with tabs."""
    lines = ("\t".join(map(_told, row)) + "\n" for row in rows)
    write_atomically(path, "".join(lines).encode(), durable=False)


def _told(value: float | str) -> str:
    """Return a number with six digits, and anything else as text."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _save_sprite(images: Float[Tensor, "n C H W"], folder: Path) -> str:
    """Write all images as one square without gaps, and return its line of the configuration."""
    largest = max(images.shape[-2:])
    if largest > _SIDE:
        size = [max(1, side * _SIDE // largest) for side in images.shape[-2:]]
        images = functional.interpolate(images, size, mode="area")
    row = math.ceil(math.sqrt(len(images)))
    spare = images.new_zeros(row * row - len(images), *images.shape[1:])
    levels = min(0.0, images.min().item()), max(1.0, images.max().item())
    square = image_grid(torch.cat([images, spare]), row, levels, padding=0)
    path = f"{_FOLDER}/images.png"
    save = partial(save_image, square, format="png")
    write_atomically(folder / path, save, durable=False)
    height, width = (side // row for side in square.shape[-2:])
    sizes = f"single_image_dim: {width} single_image_dim: {height}"
    return f'sprite {{ image_path: "{path}" {sizes} }}'
