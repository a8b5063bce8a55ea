"""Picture of the values that a model imputes for missing entries."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from matplotlib.figure import Figure
from torch import Tensor
from torchvision.utils import make_grid

from vi.figures.grid import grid_figure, is_image
from vi.figures.style import DATA, MODEL
from vi.figures.tables import histograms
from vi.math import Shape

_ROW, _IMAGES = 16, 32
_MISSING = (0.25, 0.5, 0.75)  # the colour of entries that were not observed


def imputations_figure(
    truth: Float[Tensor, " N *event"],
    observed: Bool[Tensor, " N *event"],
    imputed: Float[Tensor, " N *event"],
    shape: Shape,
    names: Sequence[str],
) -> Figure:
    """Draw the observed values beside the imputed ones.

    Images are drawn in rows: the truth (if it is known), the observed pixels, and E[x|seen].
    A table has for each column the histograms of the observed and of the imputed values.

    Args:
        truth: The complete data; NaN where they are unknown.
        observed: True at the entries that the model was given.
        imputed: E[x|x_observed].
        shape: Event shape of the data: (C, H, W) for images, else a table.
        names: Names of the columns of a table, for the axes.
    """
    if is_image(shape) and shape[0] in (1, 3):
        rows = (x[:_IMAGES].view(-1, *shape) for x in (truth, observed, imputed))
        return _images(*rows)
    return _table(observed.flatten(1), imputed.flatten(1), names)


def _images(truth: Tensor, observed: Tensor, imputed: Tensor) -> Figure:
    """Draw images in rows of 16, with missing pixels in blue."""
    missing = imputed.new_tensor(_MISSING).view(3, 1, 1)
    seen = truth.expand(-1, 3, -1, -1).where(observed, missing)
    rows = [seen, imputed.expand(-1, 3, -1, -1)]
    title = "from above: what was seen, E[x|seen]"
    if not truth.isnan().any():
        rows.insert(0, truth.expand(-1, 3, -1, -1))
        title = "from above: the truth, what was seen, E[x|seen]"
    fill = -len(truth) % _ROW  # the last row is as wide as the others
    padded = [torch.cat([row, row.new_ones(fill, *row.shape[1:])]) for row in rows]
    stacked = torch.stack([row.unflatten(0, (-1, _ROW)) for row in padded], dim=1)
    images = stacked.flatten(0, 2).clamp(0, 1)
    return grid_figure(make_grid(images, nrow=_ROW, padding=1, pad_value=0.5), title)


def _table(observed: Tensor, imputed: Tensor, names: Sequence[str]) -> Figure:
    """Draw histograms of the observed and of the imputed values, column by column."""
    imputed = imputed.double()
    seen, put_in = (imputed.where(rows, torch.nan) for rows in (observed, ~observed))
    series = {"seen": (seen, DATA), "imputed": (put_in, MODEL)}
    return histograms(series, names, "values that were seen, and E[x|seen] of the others")
