"""Affine coupling flows."""

from collections.abc import Sequence

from torch import nn

from vi.distributions.flow import FlowRecipe, zuko
from vi.distributions.flows.masked import masked_flow
from vi.errors import require_positive


class CouplingFlow(FlowRecipe):
    """Affine coupling flow (Real NVP): y = exp(a) x + b, with a and b of one half from the other.

    The two halves alternate. The half that conditions is itself scaled and shifted, by amounts
    that depend on the context only. exp(a) stays between 1e-3 and 1e3. The inverse takes 2 passes.

    Args:
        num_transforms: Number of transforms in sequence; with two, every entry is conditioned
            once.
        hidden: Widths of the hidden layers of each transform's network.

    Raises:
        ConfigurationError: ``num_transforms`` is not positive.

    Reference: Dinh, Sohl-Dickstein and Bengio, 2017, https://arxiv.org/abs/1605.08803

    >>> import torch
    >>> CouplingFlow()(3, context=2)(torch.zeros(5, 2))(torch.zeros(7, 5, 3)).shape
    torch.Size([7, 5, 3])
    """

    def __init__(self, num_transforms: int = 4, hidden: Sequence[int] = (64, 64)) -> None:
        require_positive("num_transforms", num_transforms)
        self.num_transforms, self.hidden = num_transforms, tuple(hidden)

    def __call__(self, features: int, context: int = 0) -> nn.Module:
        """Build alternating coupling transforms over ``features`` dimensions."""
        return masked_flow(
            features,
            context,
            num_transforms=self.num_transforms,
            hidden=self.hidden,
            univariate=zuko.transforms.MonotonicAffineTransform,
            shapes=[(), ()],
            passes=2,
        )
