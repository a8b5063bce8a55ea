"""The relaxed posterior of independent bits."""

from torch import Tensor
from torch.distributions import Distribution, constraints

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.discrete import bits
from vi.distributions.relaxed import RelaxedBits
from vi.errors import require_positive
from vi.math import Shape


class RelaxedBernoulli(ConditionalDistribution):
    """Independent bits, trained through z_d = sigmoid((logit p_d(x) + noise) / tau).

    In training mode z is relaxed with logistic noise, and the KL in the ELBO is that of the bits
    to the prior. This has a gradient for any number of bits, but the gradient is biased for the
    ELBO of the bits and the value is not a bound. In evaluation mode (``model.eval()``) q is the
    distribution of the bits, and so everything that is reported (the validation bound, log p(x),
    codes) refers to it.

    Args:
        latent_dim: Z, the number of bits.
        temperature: tau > 0; towards 0 the bias vanishes and the variance of the gradient grows.
        hard: Whether the likelihood receives rounded z with the gradient of the relaxed z
            (straight-through estimator).

    Raises:
        ConfigurationError: ``latent_dim`` or ``temperature`` is not positive.

    Reference: Maddison, Mnih and Teh, 2017, https://arxiv.org/abs/1611.00712

    >>> import torch
    >>> head = RelaxedBernoulli(3, temperature=0.5)
    >>> type(head(torch.zeros(5, 3))).__name__, type(head.eval()(torch.zeros(5, 3))).__name__
    ('RelaxedBits', 'Discrete')
    """

    support = constraints.boolean
    unbiased = False

    def __init__(self, latent_dim: int, temperature: float = 0.5, *, hard: bool = False) -> None:
        require_positive("latent_dim", latent_dim)
        require_positive("temperature", temperature)
        super().__init__((latent_dim,))
        self.temperature, self.hard = temperature, hard

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """Shape of the logits, (Z,)."""
        return (self.event_shape,)

    def forward(self, params: Tensor) -> Distribution:
        """Build q with batch_shape (*batch) and event_shape (Z,).

        Args:
            params: Logits, (*batch, Z).

        Returns:
            The relaxed distribution in training mode, the discrete one in evaluation mode.
        """
        (logits,) = self.split(params)
        if not self.training:
            return bits(logits)
        return RelaxedBits(logits, self.temperature, hard=self.hard)
