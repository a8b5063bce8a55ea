"""Neural spline flows."""

from collections.abc import Sequence

from torch import nn

from vi.distributions.flow import FlowRecipe, zuko
from vi.distributions.flows.masked import masked_flow
from vi.errors import require_positive


class SplineFlow(FlowRecipe):
    """Neural spline flow y_d = S(x_d), with S a monotonic rational-quadratic spline.

    The knots of S depend on x_1 .. x_(d-1) and on the context. S is the identity outside [-5, 5]
    and has slope 1 at both ends, so that the density is continuous everywhere. The inverse takes Z
    passes.

    Args:
        num_transforms: Number of transforms in sequence.
        hidden: Widths of the hidden layers of each transform's network.
        num_bins: Number of pieces of a spline.

    Raises:
        ConfigurationError: ``num_transforms`` is not positive, or ``num_bins`` is below 2.

    Reference: Durkan, Bekasov, Murray and Papamakarios, 2019, https://arxiv.org/abs/1906.04032

    >>> import torch
    >>> SplineFlow()(3, context=2)(torch.zeros(5, 2))(torch.zeros(7, 5, 3)).shape
    torch.Size([7, 5, 3])
    """

    piecewise = True

    def __init__(
        self, num_transforms: int = 2, hidden: Sequence[int] = (64, 64), num_bins: int = 8
    ) -> None:
        require_positive("num_transforms", num_transforms)
        require_positive("num_bins", num_bins, least=1)
        self.num_transforms, self.hidden, self.num_bins = num_transforms, tuple(hidden), num_bins

    def __call__(self, features: int, context: int = 0) -> nn.Module:
        """Build masked autoregressive spline transforms over ``features`` dimensions."""
        return masked_flow(
            features,
            context,
            num_transforms=self.num_transforms,
            hidden=self.hidden,
            univariate=zuko.transforms.MonotonicRQSTransform,
            shapes=[(self.num_bins,), (self.num_bins,), (self.num_bins - 1,)],
        )
