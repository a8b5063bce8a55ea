"""Conditional distributions p(y | parameters): the base class of posteriors and likelihoods."""

import math
from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.distributions.constraints import Constraint

from vi.errors import ConfigurationError
from vi.math import Shape
from vi.options import Configurable


class ConditionalDistribution(Configurable, nn.Module, ABC):
    """Head of a network: turns the network's output into a distribution.

    The head declares the shapes of its parameters, and the network before it takes its output size
    from them, so that no size is stated twice.

    An implementer writes ``support``, ``param_shapes`` and ``forward``, and calls ``split`` in
    ``forward``. ``out_shape`` and ``split`` come for free. Defaults that a head may override:
    ``encoder_input``, ``start_at`` and ``real_entries`` in a likelihood, ``starting_parameters``
    in a posterior.

    Args:
        event_shape: Shape of one event. A likelihood leaves it empty, because the model sets it
            through ``set_event_shape``.

    >>> from torch.distributions import Exponential, Independent
    >>> class ExponentialLikelihood(ConditionalDistribution):
    ...     support, needs = constraints.positive, "positive numbers"
    ...     @property
    ...     def param_shapes(self):
    ...         return (self.event_shape,)
    ...     def forward(self, params):
    ...         (log_rate,) = self.split(params)
    ...         return Independent(Exponential(log_rate.exp()), len(self.event_shape))
    >>> likelihood = ExponentialLikelihood()
    >>> likelihood.set_event_shape((3,))
    >>> likelihood(torch.zeros(5, 3)).log_prob(torch.ones(5, 3))[0]
    tensor(-3.)
    """

    support: Constraint
    """Support of one entry of the event."""
    needs: str = "real numbers"
    """The support in words, for error messages."""
    unbiased: bool = True
    """Whether the pathwise gradient of draws is unbiased for the gradient of expectations."""

    def __init__(self, event_shape: Shape = ()) -> None:
        super().__init__()
        self.event_shape = torch.Size(event_shape)

    @property
    @abstractmethod
    def param_shapes(self) -> tuple[Shape, ...]:
        """Shapes of the parameters for one event, in the order in which ``forward`` reads them."""

    @abstractmethod
    def forward(self, params: Tensor) -> Distribution:
        """Build the distribution with these parameters.

        Args:
            params: Output of the network, (*batch, *out_shape), or with the last axes flattened.

        Returns:
            A distribution with batch_shape (*batch) and the event_shape of this head.
        """

    if TYPE_CHECKING:

        def __call__(self, params: Tensor) -> Distribution:
            """See ``forward``."""
            ...

    def set_event_shape(self, event_shape: Shape) -> None:
        """Set the shape of one event; the model calls this once.

        Args:
            event_shape: Shape of one event.

        Raises:
            ConfigurationError: Another model has already set a different shape.
        """
        if self.event_shape not in (torch.Size(), torch.Size(event_shape)):
            raise ConfigurationError(
                f"{type(self).__name__} already has event shape {tuple(self.event_shape)}, "
                f"not {tuple(event_shape)}",
                hint="give each model a head of its own",
            )
        self.event_shape = torch.Size(event_shape)
        vars(self).pop("_layout", None)

    def starting_parameters(self, like: Tensor) -> Tensor:
        """Return initial values for parameters that are optimised per datum, without a network.

        Args:
            like: A tensor of the shape, precision and device of the parameters.

        Returns:
            Zeros, unless a posterior overrides it.
        """
        return torch.zeros_like(like)

    def encoder_input(self, x: Tensor) -> Tensor:
        """Return what the encoder reads of data x (*batch, *event_shape): x itself by default."""
        return x

    def start_at(self, x: Tensor, exposure: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return parameters that match the moments of the data, as initial values for training.

        The entries count as independent. Parameters that the head itself owns (such as a shared
        scale) are set in place.

        Args:
            x: Data (N, *event), in double precision, NaN where an entry is missing.
            exposure: Factor of the rates of counts, (N,) or (N, 1).

        Returns:
            One tensor for each of ``param_shapes``, or none if the head has no such initial
            values.
        """
        del x, exposure
        return ()

    @property
    def real_entries(self) -> Tensor:
        """Which entries can be any real number, (*event): only these can be standardised."""
        return torch.full(self.event_shape, self.support is constraints.real)

    @property
    def out_shape(self) -> Shape:
        """Shape of the output that the network before this head must produce.

        If all parameters are images of one size, they are stacked along the channels; otherwise
        they are concatenated into one flat vector.
        """
        shapes = self.param_shapes
        if all(len(s) == 3 and s[1:] == shapes[0][1:] for s in shapes):
            return (sum(s[0] for s in shapes), *shapes[0][1:])
        return (sum(math.prod(s) for s in shapes),)

    def split(self, params: Tensor) -> tuple[Tensor, ...]:
        """Split the output of a network into its parameters.

        Args:
            params: (*batch, *out_shape), or with the last axes flattened.

        Returns:
            One tensor (*batch, *param_shape) for each of ``param_shapes``.
        """
        shapes, sizes, rank = self._layout
        if rank > 1 and params.shape[-rank:] == self.out_shape:
            params = params.flatten(-rank)
        pieces = params.split(sizes, dim=-1) if len(sizes) > 1 else (params,)
        return tuple(
            p if len(s) == 1 else p.unflatten(-1, s) if s else p.squeeze(-1)
            for p, s in zip(pieces, shapes, strict=True)
        )

    @cached_property
    def _layout(self) -> tuple[tuple[Shape, ...], list[int], int]:
        """Shapes and sizes of the parameters, and the rank of the network's output."""
        shapes = self.param_shapes
        return tuple(shapes), [math.prod(s) for s in shapes], len(self.out_shape)
