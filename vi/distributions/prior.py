"""Priors p(z): the base class."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from vi.math import Shape
from vi.options import Configurable


class Prior(Configurable, nn.Module, ABC):
    """Prior p(z) of the latent z, with or without learned parameters.

    An implementer writes ``support`` and ``forward``. Defaults that a prior may override:
    ``initialize`` does nothing, ``decoder_input`` returns z and ``decoder_input_shape`` is that of
    z.

    Args:
        event_shape: Shape of z.

    >>> from torch.distributions import Independent, Laplace, constraints
    >>> class LaplacePrior(Prior):
    ...     support = constraints.real
    ...     def __init__(self, latent_dim):
    ...         super().__init__((latent_dim,))
    ...     def forward(self, posterior=None):
    ...         return Independent(Laplace(torch.zeros(self.event_shape), 1.0), 1)
    >>> LaplacePrior(2)().log_prob(torch.zeros(2))
    tensor(-1.3863)
    """

    support: Constraint
    """Support of one entry of z."""

    def __init__(self, event_shape: Shape) -> None:
        super().__init__()
        self.event_shape = torch.Size(event_shape)

    @abstractmethod
    def forward(self, posterior: Callable[..., Distribution] | None = None) -> Distribution:
        """Build the prior, with an empty batch_shape.

        Args:
            posterior: Function (x, context=...) -> q(z|x), for priors that are mixtures of
                posteriors. The prior does not own it: its parameters belong to the model.

        Returns:
            A distribution with batch_shape () and the event_shape of z.
        """

    if TYPE_CHECKING:

        def __call__(self, posterior: Callable[..., Distribution] | None = None) -> Distribution:
            """See ``forward``."""
            ...

    def initialize(self, x: Tensor, **given: Tensor) -> None:
        """Initialise the prior from training data; called once before the first step.

        Does nothing by default.

        Args:
            x: Training data, (N, *event).
            **given: Variables that the model conditions on, such as ``context``, (N, ..).
        """

    @property
    def decoder_input_shape(self) -> Shape:
        """Shape of ``decoder_input`` for one z."""
        return tuple(self.event_shape)

    def decoder_input(self, z: Tensor) -> Tensor:
        """Return what the decoder reads of z (*batch, *event_shape): z itself by default."""
        return z
