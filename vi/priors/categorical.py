"""The prior of independent categories."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from vi.distributions.discrete import categorical_shape, categories
from vi.distributions.prior import Prior


class CategoricalPrior(Prior):
    """Independent one-hot variables p(z) = prod_n sum_c z_nc p_nc, with p_nc = 1/C at the start.

    Args:
        num_categories: C.
        num_variables: N; z has the shape (C,) for one and (N, C) for several.
        learn: Whether the logits of p are learned; else p_nc stays 1/C.

    Raises:
        ConfigurationError: A number is not positive.

    >>> CategoricalPrior(4)().log_prob(torch.tensor([0.0, 0.0, 1.0, 0.0]))
    tensor(-1.3863)
    """

    support = constraints.one_hot
    logits: Tensor

    def __init__(
        self, num_categories: int, num_variables: int = 1, *, learn: bool = False
    ) -> None:
        super().__init__(categorical_shape(num_categories, num_variables))
        logits = torch.zeros(self.event_shape)
        if learn:
            self.logits = nn.Parameter(logits)
        else:
            self.register_buffer("logits", logits, persistent=False)

    def forward(self, posterior: Callable[..., Distribution] | None = None) -> Distribution:
        """Return the distribution with batch_shape () and event_shape (C,) or (N, C)."""
        return categories(self.logits, self.event_shape)
