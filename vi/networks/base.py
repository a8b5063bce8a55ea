"""The role of a network: a factory that is told what goes in and what must come out."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from vi.errors import require_positive
from vi.math import Shape
from vi.options import Option

NetworkFactory = Callable[..., nn.Module]


class Network(Option, ABC):
    """A recipe for a network. An implementer writes ``__call__``.

    Any callable of the same signature serves as well; a plain function cannot be saved by name.
    """

    @abstractmethod
    def __call__(self, in_shape: Shape, out_shape: Shape, context_dim: int = 0) -> nn.Module:
        """Build the module.

        Args:
            in_shape: Event shape of the input.
            out_shape: Event shape of the output.
            context_dim: Width of the conditioning vector; 0 where there is none.

        Returns:
            A module (*batch, *in_shape) -> (*batch, *out_shape), which takes the context
            (*batch, context_dim) as a second argument where there is one.
        """


def flatten_event(x: Tensor, rank: int) -> Tensor:
    """(*batch, *event) -> (*batch, D), for events of this rank."""
    return x if rank == 1 else x.flatten(-rank) if rank else x.unsqueeze(-1)


def require_widths(name: str, widths: Sequence[int]) -> None:
    """Refuse a layer without units.

    Raises:
        ConfigurationError: A width is not positive.
    """
    for width in widths:
        require_positive(name, width)
