"""What a model makes of missing entries, as a picture."""

import torch
from jaxtyping import Bool, Float
from matplotlib.figure import Figure
from torch import Tensor
from torchvision.utils import make_grid

from vi.figures.grid import grid_figure, is_image
from vi.math import Shape

_ROW, _IMAGES, _COLUMNS = 16, 32, 4
_MISSING = (0.25, 0.5, 0.75)  # the colour of what was not seen
_SEEN, _IMPUTED = "#0072b2", "#d55e00"


def imputations_figure(
    truth: Float[Tensor, " N *event"],
    observed: Bool[Tensor, " N *event"],
    imputed: Float[Tensor, " N *event"],
    shape: Shape,
) -> Figure:
    """Images: rows of the truth, where it is known, of what was seen, and of what came out.

    Tables: for the first columns the values that were seen beside those that were put in.

    Args:
        truth: NaN where it is not known.
        observed: True where the model saw x.
        imputed: E[x|x_observed].
        shape: The data's own event shape.
    """
    if is_image(shape) and shape[0] in (1, 3):
        rows = (x[:_IMAGES].view(-1, *shape) for x in (truth, observed, imputed))
        return _images(*rows)
    return _table(*(x.flatten(1) for x in (observed, imputed)))


def _images(truth: Tensor, observed: Tensor, imputed: Tensor) -> Figure:
    missing = imputed.new_tensor(_MISSING).view(3, 1, 1)
    seen = truth.expand(-1, 3, -1, -1).where(observed, missing)
    rows = [seen, imputed.expand(-1, 3, -1, -1)]
    title = "what was seen, and E[x|seen]"
    if not truth.isnan().any():
        rows.insert(0, truth.expand(-1, 3, -1, -1))
        title = f"the truth, {title}"
    fill = -len(truth) % _ROW  # the last row is as wide as the others
    padded = [torch.cat([row, row.new_ones(fill, *row.shape[1:])]) for row in rows]
    stacked = torch.stack([row.unflatten(0, (-1, _ROW)) for row in padded], dim=1)
    images = stacked.flatten(0, 2).clamp(0, 1)
    return grid_figure(make_grid(images, nrow=_ROW, padding=1, pad_value=0.5), title)


def _table(observed: Tensor, imputed: Tensor) -> Figure:
    columns = min(_COLUMNS, imputed.shape[1])
    figure = Figure(figsize=(2.6 * columns + 0.6, 3), layout="constrained")
    for d, axes in enumerate(figure.subplots(1, columns, squeeze=False)[0]):
        parts = {"seen": (observed[:, d], _SEEN), "imputed": (~observed[:, d], _IMPUTED)}
        for name, (rows, colour) in parts.items():
            if rows.any():
                values = imputed[rows, d].numpy(force=True)
                axes.hist(values, bins=30, density=True, histtype="step", color=colour, label=name)
        axes.set(xlabel=f"$x_{{{d + 1}}}$", ylabel="density" if d == 0 else "")
    figure.axes[0].legend(fontsize="small")
    figure.suptitle("values that were seen, and E[x|seen] of those that were not")
    return figure
