"""The base class of networks: factories of modules for given input and output shapes."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vi.errors import ConfigurationError, ViError, require_positive
from vi.math import Shape
from vi.networks.own import own_network
from vi.options import Configurable

NetworkFactory = Callable[..., nn.Module]


class Network(Configurable, ABC):
    """A factory of a network. An implementer writes ``__call__``.

    A function with the same signature may be used as well, and so may a finished module
    (``own_network``); neither can be saved by name unless a yaml names its class.
    """

    @abstractmethod
    def __call__(self, in_shape: Shape, out_shape: Shape, context_dim: int = 0) -> nn.Module:
        """Build the module.

        Args:
            in_shape: Event shape of the input.
            out_shape: Event shape of the output.
            context_dim: Width of the conditioning vector; 0 if there is none.

        Returns:
            A module (*batch, *in_shape) -> (*batch, *out_shape). With a context, it takes the
            context (*batch, context_dim) as a second argument.
        """


def built(
    part: str,
    recipe: NetworkFactory | nn.Module,
    in_shape: Shape,
    out_shape: Shape,
    needed_by: str = "the model",
    **conditional: int,
) -> nn.Module:
    """Return the network of a model, from its factory or from a module (see ``own_network``).

    Args:
        part: Role of the network in the model, for messages.
        recipe: A ``Network``, a function (in_shape, out_shape) -> module, or a module.
        in_shape: Event shape of the input.
        out_shape: Event shape of the output.
        needed_by: The part that reads the output, for messages.
        **conditional: ``context_dim``, if there is a context.

    Raises:
        ConfigurationError: ``recipe`` is none of these, or does not fit the shapes.
    """
    if isinstance(recipe, Network):
        return recipe(in_shape, out_shape, **conditional)
    module = recipe if isinstance(recipe, nn.Module) else None
    if module is None and callable(recipe):
        module = _called(part, recipe, in_shape, out_shape, **conditional)
    if not isinstance(module, nn.Module):
        raise ConfigurationError(
            f"{part} must be a module (B, *in_shape) -> (B, *out_shape), or be told (in_shape, "
            f"out_shape) and give one, got {type(recipe).__name__}",
            hint=f"{part}=vi.MLP([500, 500]), {part}=your_module, or {part}=lambda in_shape, "
            f"out_shape: your_module; here {tuple(in_shape)} and {tuple(out_shape)}",
        )
    return own_network(part, module, in_shape, out_shape, needed_by, **conditional)


def _called(
    part: str, function: NetworkFactory, in_shape: Shape, out_shape: Shape, **conditional: int
) -> Any:
    """Return the result of the user's function for these shapes."""
    try:
        return function(tuple(in_shape), tuple(out_shape), **conditional)
    except ViError:
        raise
    except Exception as error:  # whatever code of the user runs into
        beside = "".join(f", {name}={value}" for name, value in conditional.items())
        told = (str(error).splitlines() or [""])[0]
        raise ConfigurationError(
            f"what should make the {part} fails: {type(error).__name__}: {told}",
            hint=f"it is called with ({tuple(in_shape)}, {tuple(out_shape)}{beside}): the shapes "
            "of one datum, as tuples",
        ) from error


def conditioned(network: nn.Module, x: Tensor, context: Tensor | None, context_dim: int) -> Tensor:
    """Return the output of a network for x, and for the context if the network conditions on one.

    Raises:
        ConfigurationError: The context is missing or has another width.
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
    """Return the precision of the parameters, or the default precision if there are none."""
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
