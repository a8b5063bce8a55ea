"""Learned positive parameters."""

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from vi.distributions.moments import before_softplus
from vi.errors import require_positive
from vi.math import Shape, inverse_softplus


class PositiveParameter(nn.Module):
    """Positive parameter floor + softplus(raw), the same for all data.

    Args:
        name: Name of the parameter, for error messages.
        start: Initial value; ``start_at`` multiplies the value from the data by it.
        floor: Lower limit, positive.

    Raises:
        ConfigurationError: floor <= 0, or start <= floor.

    >>> PositiveParameter("scale", 0.5, floor=0.1)().detach()
    tensor(0.5000)
    """

    def __init__(self, name: str, start: float, *, floor: float) -> None:
        super().__init__()
        require_positive("floor", floor)
        require_positive(name, start, least=floor)
        self.floor, self.start = floor, start
        self.raw = nn.Parameter(torch.tensor(inverse_softplus(start - floor)))

    def spread_over(self, shape: Shape) -> None:
        """Give each entry of this shape its own parameter; all start with the same value."""
        if self.raw.shape != torch.Size(shape):
            self.raw = nn.Parameter(self.raw.detach().expand(shape).clone())

    @torch.no_grad()
    def start_at(self, of_data: Tensor) -> None:
        """Set the value to ``start`` times a value from the data.

        Args:
            of_data: A scalar, or one number per entry.
        """
        start = self.start * of_data.to(self.raw)
        self.raw.copy_(before_softplus(start, self.floor).expand_as(self.raw))

    def forward(self) -> Tensor:
        """Return the positive numbers, a scalar or one per entry."""
        return self.floor + softplus(self.raw)
