"""Modules of the user in the place of a network of vi."""

import gc
import math
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from vi.errors import ConfigurationError, ViError
from vi.math import Shape
from vi.options import Configurable

_ROWS = 3  # rows of the trial; a number that is unlikely to be a size of the network
_OWNERS: "weakref.WeakKeyDictionary[nn.Module, weakref.ref[nn.Module]]" = (
    weakref.WeakKeyDictionary()
)


class OwnNetwork(nn.Module):
    """A module (N, *in_shape) -> (N, *) in a model, whose batches may have several axes.

    Maps (*batch, *in_shape) and a context (*batch, C) to (*batch, *out_shape). The module itself
    reads one batch axis, and the context, if there is one, as a second argument (N, C).

    Args:
        module: The module, called once for all events.
        in_shape: Event shape of the input.
        out_shape: Event shape of the output; the module may return it flat.

    >>> OwnNetwork(nn.Linear(4, 6), (4,), (1, 2, 3))(torch.ones(5, 7, 4)).shape
    torch.Size([5, 7, 1, 2, 3])
    """

    def __init__(self, module: nn.Module, in_shape: Shape, out_shape: Shape) -> None:
        super().__init__()
        self.module = module
        self.in_shape, self.out_shape = tuple(in_shape), tuple(out_shape)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Map (*batch, *in_shape), and a context (*batch, C), to (*batch, *out_shape)."""
        batch = x.shape[: x.ndim - len(self.in_shape)]
        beside = ()
        if context is not None:
            joint = torch.broadcast_shapes(batch, context.shape[:-1])
            x = x.expand(*joint, *self.in_shape)
            beside = (context.expand(*joint, -1).reshape(-1, context.shape[-1]),)
            batch = joint
        y = self.module(x.reshape(-1, *self.in_shape), *beside)
        return y.reshape(*batch, *self.out_shape)


def own_network(
    part: str,
    module: nn.Module,
    in_shape: Shape,
    out_shape: Shape,
    needed_by: str,
    context_dim: int = 0,
) -> OwnNetwork:
    """Return a module as the network of a model, after a trial of its shapes.

    The trial changes neither the module nor later random numbers: it runs without gradients and in
    evaluation mode, which is restored. Only lazy layers are initialised by it, with draws that
    count, since their weights do not exist before.

    Args:
        part: Role of the network in the model, for messages.
        module: The user's module.
        in_shape: Event shape of the input.
        out_shape: Event shape of the output.
        needed_by: The part that reads the output, for messages.
        context_dim: Width of the context; 0 if there is none.

    Raises:
        ConfigurationError: The module cannot read such an input, or returns another shape.
    """
    own = OwnNetwork(module, in_shape, out_shape)
    like = next(module.parameters(), torch.empty(0))
    shapes = [tuple(in_shape), *([(context_dim,)] if context_dim else [])]
    inputs = [torch.zeros(_ROWS, *s, dtype=like.dtype, device=like.device) for s in shapes]
    try:
        with undisturbed(module), torch.no_grad():
            said = module(*inputs)
    except ViError:
        raise
    except Exception as error:  # whatever code of the user runs into
        told = (str(error).splitlines() or [""])[0]
        raise ConfigurationError(
            f"the {part} cannot read {_of_a_batch(in_shape)}: {type(error).__name__}: {told}",
            hint=_how_it_is_called(part, in_shape, context_dim),
        ) from error
    _require_shape(part, said, out_shape, needed_by)
    return own


@contextmanager
def undisturbed(module: nn.Module) -> Iterator[None]:
    """Set a module to evaluation mode in the ``with`` block; then restore it and the generators.

    Lazy layers are still initialised, with draws that count.
    """
    modes = {part: part.training for part in module.modules()}
    lazy = any(map(is_lazy, module.parameters()))
    places = {p.device for p in module.parameters() if p.device.type == "cuda"}
    module.eval()
    try:
        with nullcontext() if lazy else torch.random.fork_rng([*places]):
            yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def claim(model: nn.Module) -> None:
    """Record that the user's modules in a model belong to this model.

    Raises:
        ConfigurationError: A module occurs twice in the model, or belongs to another model.
    """
    own = [part for part in model.modules() if isinstance(part, OwnNetwork)]
    seen: set[nn.Module] = set()
    for module in (part.module for part in own):
        if module in seen or _is_taken(module, model):
            where = "twice in this model" if module in seen else "in another model already"
            raise ConfigurationError(
                f"one {type(module).__name__} stands {where}, so that each would train the other",
                hint="copy.deepcopy(module) is another one; or give what makes one: "
                "encoder=lambda in_shape, out_shape: MyModule()",
            )
        seen.add(module)
    for module in seen:
        _OWNERS[module] = weakref.ref(model)


def _is_taken(module: nn.Module, model: nn.Module) -> bool:
    """Return whether another model that still exists contains the module."""
    owner = _OWNERS.get(module)
    if owner is None or owner() in (None, model):
        return False
    gc.collect()  # a trainer and its model hold each other
    return owner() is not None


def spelled(part: Any) -> str:
    """Return the source text of a part with its plain arguments.

    >>> import vi
    >>> spelled(vi.DiagonalGaussian(40))
    'DiagonalGaussian(40)'
    """
    arguments = part.arguments.values() if isinstance(part, Configurable) else ()
    plain = [repr(a) for a in arguments if isinstance(a, bool | int | float | str)]
    return f"{type(part).__name__}({', '.join(plain)})"


def _require_shape(part: str, said: Any, out_shape: Shape, needed_by: str) -> None:
    """Refuse an output of the trial that is not a tensor of the right shape."""
    needed = f"{needed_by} needs {_of_a_batch(out_shape)}"
    if not isinstance(said, Tensor):
        raise ConfigurationError(
            f"the {part} gives a {type(said).__name__}, {needed} in one tensor",
            hint="join the tensors along their last axis: torch.cat([loc, log_scale], -1)",
        )
    if not said.is_floating_point():
        raise ConfigurationError(
            f"the {part} gives {said.dtype}, {needed} of floating-point numbers",
            hint="end it with a layer such as nn.Linear",
        )
    rows, event = tuple(said.shape[:1]), tuple(said.shape[1:])
    same = [n for n in event if n > 1] == [n for n in out_shape if n > 1]
    is_flat = len(event) == 1 or len(out_shape) == 1
    size = math.prod(out_shape)
    if rows != (_ROWS,) or not (same or is_flat and math.prod(event) == size):
        gives = _of_a_batch(event) if rows == (_ROWS,) else f"{tuple(said.shape)} for {_ROWS} data"
        raise ConfigurationError(
            f"the {part} gives {gives}, {needed}",
            hint=f"let its last layer give {size} numbers for each datum, as nn.Linear(.., {size})"
            " does",
        )


def _of_a_batch(shape: Shape) -> str:
    """Return the text (B, *shape)."""
    return f"({', '.join(['B', *map(str, shape)])})"


def _how_it_is_called(part: str, in_shape: Shape, context_dim: int) -> str:
    """Return the hint about the arguments of the module."""
    if context_dim:
        return (
            f"it is called as {part}(x, context), with x {_of_a_batch(in_shape)} and context "
            f"{_of_a_batch((context_dim,))}: write a module whose forward takes both"
        )
    first = "; nn.Flatten() makes vectors of them" if len(in_shape) > 1 else ""
    return f"it is called with one tensor {_of_a_batch(in_shape)}{first}"
