"""The memory layout of convolution weights that is fastest on a processor."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def channels_last(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Store images with their channels innermost inside the ``with`` block, on a processor.

    torch gives the output of a convolution the layout of its weights, and later layers keep it. So
    it suffices to change the weights. The parameters remain the same objects, and on exit get back
    the layout in which files store them.

    Args:
        modules: Modules whose 2-D convolutions are changed.

    >>> layer, x = nn.Conv2d(3, 8, 3), torch.zeros(1, 3, 8, 8)
    >>> with channels_last([layer]):
    ...     layer(x).is_contiguous(memory_format=torch.channels_last)
    True
    """
    layers = {id(part): part for module in modules for part in module.modules()}.values()
    weights = [part.weight for part in layers if type(part) is nn.Conv2d]
    ours = [w for w in weights if w.is_cpu and _is_by_planes(w)]
    _lay_out(ours, torch.channels_last)
    try:
        yield
    finally:
        _lay_out(ours, torch.contiguous_format)


def _is_by_planes(weight: Tensor) -> bool:
    """Whether a weight is stored plane by plane only.

    With one channel, or 1x1 kernels, both layouts are the same and nothing has to change.
    """
    last = weight.is_contiguous(memory_format=torch.channels_last)
    return weight.is_contiguous() and not last


def _lay_out(weights: Iterable[Tensor], layout: torch.memory_format) -> None:
    """Change the layout of weights and of their gradients."""
    for weight in weights:
        weight.data = weight.detach().contiguous(memory_format=layout)
        if weight.grad is not None:
            weight.grad = weight.grad.contiguous(memory_format=layout)
