"""The relaxed posterior of independent one-hot variables."""

from torch import Tensor
from torch.distributions import Distribution, constraints

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.discrete import categorical_shape, categories
from vi.distributions.relaxed import RelaxedCategories
from vi.errors import require_positive
from vi.math import Shape


class GumbelSoftmax(ConditionalDistribution):
    """Independent one-hot variables, trained through z = softmax((logits(x) + noise) / tau).

    In training mode z is relaxed with Gumbel noise, and the KL in the ELBO is that of the discrete
    variables to the prior. This has a gradient for any number of variables, but the gradient is
    biased for the ELBO of the discrete variables and the value is not a bound. In evaluation mode
    (``model.eval()``) q is the discrete distribution, and so everything that is reported (the
    validation bound, log p(x), codes) refers to it.

    Args:
        num_categories: C.
        num_variables: N; z has the shape (C,) for one and (N, C) for several.
        temperature: tau > 0; towards 0 the bias vanishes and the variance of the gradient grows.
        hard: Whether the likelihood receives rounded z with the gradient of the relaxed z
            (straight-through estimator).

    Raises:
        ConfigurationError: A number or the temperature is not positive.

    Reference: Jang, Gu and Poole, 2017, https://arxiv.org/abs/1611.01144

    >>> import torch
    >>> q = GumbelSoftmax(num_categories=4, num_variables=3)(torch.zeros(5, 12))
    >>> q.rsample().shape, q.rsample().sum(-1).mean()
    (torch.Size([5, 3, 4]), tensor(1.))
    """

    support = constraints.one_hot
    unbiased = False

    def __init__(
        self,
        num_categories: int,
        num_variables: int = 1,
        temperature: float = 0.5,
        *,
        hard: bool = False,
    ) -> None:
        require_positive("temperature", temperature)
        super().__init__(categorical_shape(num_categories, num_variables))
        self.temperature, self.hard = temperature, hard

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """Shape of the logits, that of z."""
        return (self.event_shape,)

    def forward(self, params: Tensor) -> Distribution:
        """Build q with batch_shape (*batch) and event_shape (C,) or (N, C).

        Args:
            params: Logits, (*batch, N C).

        Returns:
            The relaxed distribution in training mode, the discrete one in evaluation mode.
        """
        (logits,) = self.split(params)
        if not self.training:
            return categories(logits, self.event_shape)
        return RelaxedCategories(logits, self.event_shape, self.temperature, hard=self.hard)
