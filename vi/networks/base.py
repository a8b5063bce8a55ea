"""The role of a network: a factory that is told what goes in and what must come out."""

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
    """A recipe for a network. An implementer writes ``__call__``.

    A function of the same signature serves as well, and so does a module that is finished
    (``own_network``); neither can be saved by name unless a yaml names its class.
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
    part: str,
    recipe: NetworkFactory | nn.Module,
    in_shape: Shape,
    out_shape: Shape,
    needed_by: str = "the model",
    **conditional: int,
) -> nn.Module:
    """The network of a model, from its recipe, or from a module (see ``own_network``).

    Args:
        part: What it is to the model, for messages.
        recipe: A ``Network``, a function (in_shape, out_shape) -> module, or a module.
        in_shape: Event shape of the input.
        out_shape: Event shape of the output.
        needed_by: What reads the output, for messages.
        **conditional: ``context_dim`` where there is a context.

    Raises:
        ConfigurationError: It is none of these, or does not fit these shapes.
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
    """What a function of the user makes of the shapes."""
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
