"""p(y | parameters): what a posterior and a likelihood have in common."""

import math
from abc import ABC, abstractmethod
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.distributions.constraints import Constraint

from vi.errors import ConfigurationError
from vi.math import Shape
from vi.options import Configurable


class ConditionalDistribution(Configurable, nn.Module, ABC):
    """The head of a network: it turns the network's output into a distribution.

    An implementer writes ``support``, ``param_shapes`` and ``forward``; the network before it gets
    its output size from here. Comes for free: ``out_shape``, ``split``, and what may be written
    anew: by a likelihood ``encoder_input``, ``start_at`` and ``real_entries``, by a posterior
    ``starting_parameters``.

    Args:
        event_shape: Shape of one event; a head that takes its shape from the model (a likelihood)
            leaves it empty and learns it through ``set_event_shape``.
    """

    support: Constraint
    """Of one entry of the event."""
    needs: str = "real numbers"
    """The support in words, for messages."""
    unbiased: bool = True
    """Whether the pathwise gradient of its draws is that of their expectations."""

    def __init__(self, event_shape: Shape = ()) -> None:
        super().__init__()
        self.event_shape = torch.Size(event_shape)

    @property
    @abstractmethod
    def param_shapes(self) -> tuple[Shape, ...]:
        """Shapes of the parameters for one event, in the order in which ``forward`` reads them."""

    @abstractmethod
    def forward(self, params: Tensor) -> Distribution:
        """The distribution with these parameters.

        Args:
            params: (*batch, *out_shape), or with the last axes flattened.

        Returns:
            A distribution with batch_shape (*batch) and the event_shape of this head.
        """

    def set_event_shape(self, event_shape: Shape) -> None:
        """Told by the model, once, what the shape of an event is.

        Raises:
            ConfigurationError: It was told another shape before, by another model.
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
        """Where parameters start that no network gives, one for each of these: at 0."""
        return torch.zeros_like(like)

    def encoder_input(self, x: Tensor) -> Tensor:
        """What the encoder reads of data x (*batch, *event_shape): all of it."""
        return x

    def start_at(self, x: Tensor, exposure: Tensor | None = None) -> tuple[Tensor, ...]:
        """Where training starts: the parameters of independent entries with the data's moments.

        Parameters of the head's own are set to theirs.

        Args:
            x: Data (N, *event), in double precision, NaN where an entry is missing.
            exposure: What the rates of counts are multiplied with, (N,) or (N, 1).

        Returns:
            A tensor for each of ``param_shapes``; none of a head without such a start.
        """
        del x, exposure
        return ()

    @property
    def real_entries(self) -> Tensor:
        """Which entries may be any real number, (*event): only these can be standardised."""
        return torch.full(self.event_shape, self.support is constraints.real)

    @property
    def out_shape(self) -> Shape:
        """What the network before this head has to produce.

        Parameters that are images of one size are stacked along their channels; everything else is
        one flat vector.
        """
        shapes = self.param_shapes
        if all(len(s) == 3 and s[1:] == shapes[0][1:] for s in shapes):
            return (sum(s[0] for s in shapes), *shapes[0][1:])
        return (sum(math.prod(s) for s in shapes),)

    def split(self, params: Tensor) -> tuple[Tensor, ...]:
        """Cut a network's output (*batch, *out_shape) into parameters (*batch, *param_shape)."""
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
