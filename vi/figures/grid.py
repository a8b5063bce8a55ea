"""Images side by side."""

from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torchvision.utils import make_grid

from vi.math import Shape

ROW = 8  # images


def is_image(shape: Shape) -> bool:
    """(channels, height, width)."""
    return len(shape) == 3


def image_grid(
    images: Float[Tensor, "n C H W"], row: int, levels: tuple[float, float], padding: int = 1
) -> Float[Tensor, "3 height width"]:
    """Images in rows of so many, black at the lowest level and white at the highest."""
    low, high = levels
    grey = ((images - low) / (high - low)).clamp(0, 1)
    if grey.shape[1] not in (1, 3):  # channels that are no colours stand side by side
        grey = grey.permute(0, 2, 1, 3).flatten(2).unsqueeze(1)
    return make_grid(grey, nrow=row, padding=padding, pad_value=0.5)


def grid_figure(grid: Float[Tensor, "3 height width"], title: str) -> Figure:
    """A grid of images, every pixel a square."""
    figure = Figure(figsize=(6, 6 * grid.shape[1] / grid.shape[2] + 0.4), layout="constrained")
    show_grid(figure.add_subplot(), grid, title)
    return figure


def show_grid(axes: Axes, grid: Float[Tensor, "3 height width"], title: str) -> None:
    """Draw it, every pixel a square."""
    axes.imshow(grid.permute(1, 2, 0).numpy(force=True), interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(title)
