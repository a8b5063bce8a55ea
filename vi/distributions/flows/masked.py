"""Flows made of masked networks."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Transform

from vi.distributions.flow import zuko

_SMALL = 0.1  # factor of the networks' initial output, so that the flow starts near the identity


def masked_flow(
    features: int,
    context: int,
    *,
    num_transforms: int,
    hidden: Sequence[int],
    univariate: Callable[..., Transform],
    shapes: Sequence[Sequence[int]],
    passes: int | None = None,
) -> nn.Module:
    """Build transforms of each entry given the entries before it, in alternating order.

    A first or single entry depends on the context only. The flow starts near the identity: without
    a context the last layer starts small. With a context the output of the networks is scaled by
    0.1 / Z throughout, because every datum pays for the optimiser's noise in it.

    Args:
        features: Z, the number of dimensions.
        context: Width of the context, on which every entry depends; 0 for none.
        num_transforms: Number of transforms in sequence.
        hidden: Widths of the hidden layers of each transform's network.
        univariate: Builds the transform of one entry from unconstrained parameters.
        shapes: Shapes of those parameters; all zeros must give the identity.
        passes: Number of groups of entries, each conditioned on the groups before it, which is
            also the number of passes of the inverse; None makes a group of each entry.

    Returns:
        A lazy transform of zuko over (.., Z).
    """
    network: dict[str, Any] = {
        "univariate": partial(_gently, univariate, _SMALL / features) if context else univariate,
        "shapes": shapes,
        "passes": passes,
        "hidden_features": hidden,
        "activation": nn.SiLU,  # smooth, and so is the density
    }
    order = torch.arange(features)
    transforms = []
    for i in range(num_transforms):
        network["order"] = order.flip(0) if i % 2 else order
        transforms.append(zuko.flows.MaskedAutoregressiveTransform(features, context, **network))
        if not context:
            _move_near_identity(transforms[-1])
    return zuko.lazy.LazyComposedTransform(*transforms)


@torch.no_grad()
def _move_near_identity(transform: Any) -> None:
    """Shrink the last layer (or the free parameters) of a transform."""
    says = transform.hyper[-1] if hasattr(transform, "hyper") else transform.phi
    for parameter in says.parameters():
        parameter.mul_(_SMALL)


def _gently(univariate: Callable[..., Transform], factor: float, *says: Tensor) -> Transform:
    """Build the transform from parameters that are multiplied by ``factor``."""
    return univariate(*(factor * part for part in says))
