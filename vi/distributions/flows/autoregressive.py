"""Affine autoregressive flows."""

from collections.abc import Sequence

from torch import nn

from vi.distributions.flow import FlowRecipe, zuko
from vi.distributions.flows.masked import masked_flow
from vi.errors import require_positive


class AutoregressiveFlow(FlowRecipe):
    """Affine autoregressive flow y_d = exp(a_d) x_d + b_d.

    a_d and b_d depend on x_1 .. x_(d-1) and on the context. In a posterior it is the inverse
    autoregressive flow (IAF), in a prior the masked autoregressive flow (MAF). exp(a_d) stays
    between 1e-3 and 1e3. The inverse takes Z passes.

    Args:
        num_transforms: Number of transforms in sequence.
        hidden: Widths of the hidden layers of each transform's network.

    Raises:
        ConfigurationError: ``num_transforms`` is not positive.

    Reference: Kingma et al., 2016, https://arxiv.org/abs/1606.04934; Papamakarios, Pavlakou and
    Murray, 2017, https://arxiv.org/abs/1705.07057

    >>> import torch
    >>> AutoregressiveFlow()(3, context=2)(torch.zeros(5, 2))(torch.zeros(7, 5, 3)).shape
    torch.Size([7, 5, 3])
    """

    def __init__(self, num_transforms: int = 3, hidden: Sequence[int] = (64, 64)) -> None:
        require_positive("num_transforms", num_transforms)
        self.num_transforms, self.hidden = num_transforms, tuple(hidden)

    def __call__(self, features: int, context: int = 0) -> nn.Module:
        """Build masked autoregressive transforms over ``features`` dimensions."""
        return masked_flow(
            features,
            context,
            num_transforms=self.num_transforms,
            hidden=self.hidden,
            univariate=zuko.transforms.MonotonicAffineTransform,
            shapes=[(), ()],
        )
