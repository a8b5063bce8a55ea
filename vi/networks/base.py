"""The role of a network: a factory that is told what goes in and what must come out."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from vi.errors import ConfigurationError, require_positive
from vi.math import Shape
from vi.options import Configurable

NetworkFactory = Callable[..., nn.Module]


class Network(Configurable, ABC):
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


def built(
    part: str, recipe: NetworkFactory, in_shape: Shape, out_shape: Shape, **conditional: int
) -> nn.Module:
    """The network of a model, from its recipe.

    Args:
        part: What it is to the model, for messages.
        recipe: See ``Network``.
        in_shape: Event shape of the input.
        out_shape: Event shape of the output.
        **conditional: ``context_dim`` where there is a context.

    Raises:
        ConfigurationError: It is no recipe, such as a finished module, or does not give a module.
    """
    network = None
    if callable(recipe) and not isinstance(recipe, nn.Module):
        network = recipe(in_shape, out_shape, **conditional)
    if not isinstance(network, nn.Module):
        raise ConfigurationError(
            f"{part} must be a recipe that is told (in_shape, out_shape) and gives a module "
            f"(B, *in_shape) -> (B, *out_shape), got {type(recipe).__name__}",
            hint=f"{part}=vi.MLP([500, 500]), or {part}=lambda in_shape, out_shape: "
            f"your_module; here {tuple(in_shape)} and {tuple(out_shape)}",
        )
    return network


def conditioned(network: nn.Module, x: Tensor, context: Tensor | None, context_dim: int) -> Tensor:
    """What a network says of x, and of the context where it conditions on one.

    Raises:
        ConfigurationError: The context is missing or of another width.
    """
    if not context_dim:
        return network(x)
    if context is None or context.shape[-1] != context_dim:
        got = "none" if context is None else f"one of width {context.shape[-1]}"
        raise ConfigurationError(
            f"the model conditions on a context of width {context_dim}, got {got}",
            hint="give context=..., a tensor (B, context_dim); data.context=label makes one",
        )
    return network(x, context)


def precision_of(network: nn.Module) -> torch.dtype:
    """That of its parameters; the default where it has none."""
    return next((p.dtype for p in network.parameters()), torch.get_default_dtype())


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
