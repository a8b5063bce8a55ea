"""Positive numbers that are learned."""

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from vi.distributions.moments import before_softplus
from vi.errors import require_positive
from vi.math import Shape, inverse_softplus


class PositiveParameter(nn.Module):
    """floor + softplus(parameter), the same for all data.

    Args:
        name: What it is, for messages.
        start: Where it starts; and what ``start_at`` multiplies.
        floor: Its least value.

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
        """From now on one number for each entry of this shape; they start equal."""
        if self.raw.shape != torch.Size(shape):
            self.raw = nn.Parameter(self.raw.detach().expand(shape).clone())

    @torch.no_grad()
    def start_at(self, of_data: Tensor) -> None:
        """Start at so many times what the data say, (), or an entry at a time."""
        start = self.start * of_data.to(self.raw)
        self.raw.copy_(before_softplus(start, self.floor).expand_as(self.raw))

    def forward(self) -> Tensor:
        """The numbers."""
        return self.floor + softplus(self.raw)
