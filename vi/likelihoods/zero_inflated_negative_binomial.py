"""The likelihood of overdispersed counts with additional zeros."""

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, constraints

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.counts import (
    GammaPoisson,
    ZeroInflated,
    bounded_rate,
    dispersion_of,
    mean_rate,
)
from vi.distributions.positive import PositiveParameter
from vi.math import Shape

_LOST = 0.1  # initial pi


class ZeroInflatedNegativeBinomial(ConditionalDistribution):
    """Zero-inflated negative binomial for counts some of which are lost (dropout).

        p(x|z) = prod_d pi_d(z) [x_d = 0] + (1 - pi_d(z)) NB(x_d; mean m_d(z), dispersion a_d)

    The decoder outputs log m_d and logit pi_d. The dispersion a_d = 1 / theta_d of each entry is
    learned and the same for all data. If the data have an exposure, ``given["exposure"]`` (B,) or
    (B, 1), it multiplies the m_d.

    Args:
        dispersion: Initial a, where the variance of NB is m + a m^2; training multiplies it by the
            dispersion of the data.
        floor: Lower limit of a.

    Raises:
        ConfigurationError: floor <= 0, or dispersion <= floor.

    Reference: Lopez, Regier, Cole, Jordan and Yosef, 2018,
    https://doi.org/10.1038/s41592-018-0229-2

    >>> import torch
    >>> likelihood = ZeroInflatedNegativeBinomial()
    >>> likelihood.set_event_shape((3,))
    >>> likelihood(torch.zeros(5, 6)).mean[0]
    tensor([0.5000, 0.5000, 0.5000])
    """

    support = constraints.nonnegative_integer
    needs = "counts 0, 1, 2, .."

    def __init__(self, dispersion: float = 1.0, floor: float = 1e-4) -> None:
        super().__init__()
        self.dispersion = PositiveParameter("dispersion", dispersion, floor=floor)

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """Shapes of log m and logit pi, that of x each."""
        return (self.event_shape, self.event_shape)

    def set_event_shape(self, event_shape: Shape) -> None:
        """Set the shape of x and give each entry its own dispersion."""
        super().set_event_shape(event_shape)
        self.dispersion.spread_over(event_shape)

    def encoder_input(self, x: Tensor) -> Tensor:
        """Return asinh x, which is log 2x for large counts.

        Unlike log(1 + x) it is defined for negative pseudo-inputs too.
        """
        return x.asinh()

    def forward(self, params: Tensor) -> Distribution:
        """Build p(x|z) with batch_shape (*batch) from log m and logit pi (*batch, *out_shape)."""
        log_mean, logits = self.split(params)
        counts = GammaPoisson(bounded_rate(log_mean), self.dispersion())
        return Independent(ZeroInflated(counts, logits), len(self.event_shape))

    def start_at(self, x: Tensor, exposure: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return log m for the mean rates and logit pi for pi = 0.1, and set a from the variances.

        m is the mean rate / 0.9, so that the mean of x is that of the data.
        """
        rate = mean_rate(x, exposure) / (1 - _LOST)
        self.dispersion.start_at(dispersion_of(x, rate, exposure))
        lost = torch.full_like(rate, _LOST)
        return rate.log(), lost.logit()
