"""The relaxed posterior of independent categories."""

from torch import Tensor
from torch.distributions import Distribution, constraints

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.discrete import categorical_shape, categories
from vi.distributions.relaxed import RelaxedCategories
from vi.errors import require_positive
from vi.math import Shape


class GumbelSoftmax(ConditionalDistribution):
    """q(z|x) of independent categories, trained through z = softmax((logits(x) + noise) / tau).

    In training mode z is relaxed, noise Gumbel, and the KL of the ELBO that of the categories to
    the prior: a gradient for any number of variables, biased for the ELBO of the categories, and a
    value that is no bound. In evaluation mode (``model.eval()``) q is the categories themselves,
    and so is everything that is reported of it: the validation bound, log p(x), codes.

    Args:
        num_categories: C.
        num_variables: N; z has the shape (C,) for one and (N, C) for several.
        temperature: tau > 0; towards 0 the bias vanishes and the variance grows.
        hard: The likelihood sees rounded z, with the gradient of the relaxed one
            (straight-through).

    Raises:
        ConfigurationError: No category, no variable, or no positive temperature.

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
        """The logits."""
        return (self.event_shape,)

    def forward(self, params: Tensor) -> Distribution:
        """(*batch, N C) -> q with batch_shape (*batch) and event_shape (C,) or (N, C)."""
        (logits,) = self.split(params)
        if not self.training:
            return categories(logits, self.event_shape)
        return RelaxedCategories(logits, self.event_shape, self.temperature, hard=self.hard)
