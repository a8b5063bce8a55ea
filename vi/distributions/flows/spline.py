"""Neural spline flows."""

from collections.abc import Sequence

from torch import nn

from vi.distributions.flow import FlowRecipe, zuko
from vi.distributions.flows.masked import masked_flow
from vi.errors import require_positive


class SplineFlow(FlowRecipe):
    """y_d = S(x_d; knots from x_1 .. x_(d-1) and the context), S a rational-quadratic spline.

    S is monotonic on [-5, 5] and the identity outside it, where its slope is 1 at both ends, so
    that the density is continuous everywhere. The inverse takes Z passes.

    Args:
        num_transforms: How many follow one another.
        hidden: Widths of the hidden layers of each one's network.
        num_bins: Pieces of a spline.

    Raises:
        ConfigurationError: No transforms, or no bins.

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
        """See ``FlowRecipe``."""
        return masked_flow(
            features,
            context,
            num_transforms=self.num_transforms,
            hidden=self.hidden,
            univariate=zuko.transforms.MonotonicRQSTransform,
            shapes=[(self.num_bins,), (self.num_bins,), (self.num_bins - 1,)],
        )
