"""p(z): the role of a prior."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from vi.math import Shape
from vi.options import Configurable


class Prior(Configurable, nn.Module, ABC):
    """A distribution of the latent z, with or without parameters to learn.

    An implementer writes ``support`` and ``forward``. Comes for free: ``initialize``,
    ``decoder_input`` and ``decoder_input_shape``, which a prior may write itself.

    Args:
        event_shape: Shape of z.
    """

    support: Constraint

    def __init__(self, event_shape: Shape) -> None:
        super().__init__()
        self.event_shape = torch.Size(event_shape)

    @abstractmethod
    def forward(self, posterior: Callable[..., Distribution] | None = None) -> Distribution:
        """The prior, with an empty batch_shape.

        Args:
            posterior: (x, context=...) -> q(z|x), for priors made of posteriors; they never own
                it.
        """

    def initialize(self, x: Tensor, **given: Tensor) -> None:
        """See ``LatentVariableModel``."""

    @property
    def decoder_input_shape(self) -> Shape:
        """The shape of what the likelihood reads of z."""
        return tuple(self.event_shape)

    def decoder_input(self, z: Tensor) -> Tensor:
        """What the likelihood reads of z (*batch, *event_shape): all of it."""
        return z
