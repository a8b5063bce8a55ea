"""The weights of convolutions laid out as the processor reads them fastest."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def channels_last(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Within this block images on the processor have their channels innermost.

    torch lays out what a convolution gives as its weights are, and layers after it keep that. The
    parameters are the same objects; afterwards they are laid out as files expect them.
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
    """And not both, as with one channel, or with one entry for each."""
    last = weight.is_contiguous(memory_format=torch.channels_last)
    return weight.is_contiguous() and not last


def _lay_out(weights: Iterable[Tensor], layout: torch.memory_format) -> None:
    for weight in weights:
        weight.data = weight.detach().contiguous(memory_format=layout)
        if weight.grad is not None:
            weight.grad = weight.grad.contiguous(memory_format=layout)
