"""Grids of images."""

from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torchvision.utils import make_grid

from vi.math import Shape

ROW = 8  # images


def is_image(shape: Shape) -> bool:
    """Return whether a shape is (channels, height, width).

    >>> is_image((1, 28, 28)), is_image((784,))
    (True, False)
    """
    return len(shape) == 3


def image_grid(
    images: Float[Tensor, "n C H W"], row: int, levels: tuple[float, float], padding: int = 1
) -> Float[Tensor, "3 height width"]:
    """Return images as one grid of pixels in [0, 1].

    Channels that are not colours (other than 1 or 3) stand side by side in grey.

    Args:
        images: Images.
        row: Number of images in a row.
        levels: The values that become black and white; values outside are clamped.
        padding: Pixels between two images.

    >>> import torch
    >>> image_grid(torch.zeros(4, 1, 5, 5), row=2, levels=(0.0, 1.0)).shape
    torch.Size([3, 13, 13])
    """
    low, high = levels
    grey = ((images - low) / (high - low)).clamp(0, 1)
    if grey.shape[1] not in (1, 3):  # channels that are not colours stand side by side
        grey = grey.permute(0, 2, 1, 3).flatten(2).unsqueeze(1)
    return make_grid(grey, nrow=row, padding=padding, pad_value=0.5)


def grid_figure(grid: Float[Tensor, "3 height width"], title: str) -> Figure:
    """Return a figure of a grid of images with square pixels."""
    figure = Figure(figsize=(6, 6 * grid.shape[1] / grid.shape[2] + 0.4), layout="constrained")
    show_grid(figure.add_subplot(), grid, title)
    return figure


def show_grid(axes: Axes, grid: Float[Tensor, "3 height width"], title: str) -> None:
    """Draw a grid of images with square pixels, without axes."""
    axes.imshow(grid.permute(1, 2, 0).numpy(force=True), interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(title)
