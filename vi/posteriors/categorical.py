"""The posterior of independent categories."""

from torch import Tensor
from torch.distributions import Distribution, constraints

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.discrete import categorical_shape, categories
from vi.math import Shape


class CategoricalPosterior(ConditionalDistribution):
    """Independent one-hot variables q(z|x) = prod_n sum_c z_nc p_nc, p_n = softmax(logits(x))_n.

    Up to 1024 joint states, and for a single variable of any size, the ELBO sums over z, so that
    its value has no sampling error and its gradient is exact. With more states, train with
    scheme=reweighted_wake_sleep, which needs no pathwise gradient.

    Args:
        num_categories: C.
        num_variables: N; z has the shape (C,) for one and (N, C) for several.

    Raises:
        ConfigurationError: A number is not positive.

    Reference: Kingma, Mohamed, Rezende and Welling, 2014, https://arxiv.org/abs/1406.5298

    >>> import torch
    >>> q = CategoricalPosterior(num_categories=4, num_variables=3)(torch.zeros(5, 12))
    >>> q.event_shape, q.enumerate_support().shape, q.entropy()[0]
    (torch.Size([3, 4]), torch.Size([64, 5, 3, 4]), tensor(4.1589))
    """

    support = constraints.one_hot

    def __init__(self, num_categories: int, num_variables: int = 1) -> None:
        super().__init__(categorical_shape(num_categories, num_variables))

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """Shape of the logits, that of z."""
        return (self.event_shape,)

    def forward(self, params: Tensor) -> Distribution:
        """Build q with batch_shape (*batch) and event_shape (C,) or (N, C).

        Args:
            params: Logits, (*batch, N C).
        """
        (logits,) = self.split(params)
        return categories(logits, self.event_shape)
