"""What flows of masked networks have in common."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Transform

from vi.distributions.flow import zuko

_SMALL = 0.1  # of what a network says: the flow begins near the identity


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
    """Transforms of each entry given those before it, every other one in the reverse order.

    A single entry is transformed by itself. The flow begins near the identity. Given a context,
    what the networks say stays small, and is divided by Z as well: an optimiser's noise in it is
    paid for by every datum.

    Args:
        features: Z.
        context: Width of what all entries are given as well.
        num_transforms: How many follow one another.
        hidden: Widths of the hidden layers of each one's network.
        univariate: The transform of an entry, made from unconstrained parameters.
        shapes: Those of its parameters; all zeros make the identity.
        passes: Groups of entries, of which each is given the groups before it, and passes of the
            inverse; as many as entries if not given.
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
    says = transform.hyper[-1] if hasattr(transform, "hyper") else transform.phi
    for parameter in says.parameters():
        parameter.mul_(_SMALL)


def _gently(univariate: Callable[..., Transform], factor: float, *says: Tensor) -> Transform:
    return univariate(*(factor * part for part in says))
