"""Independent counts of which some are lost."""

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

_LOST = 0.1  # pi where training starts


class ZeroInflatedNegativeBinomial(ConditionalDistribution):
    """p(x|z) = prod_d pi_d(z) [x_d = 0] + (1 - pi_d(z)) NB(x_d; mean m_d(z), dispersion a_d).

    log m_d and logit pi_d come from the decoder; the dispersion a_d = 1 / theta_d of each entry is
    learned, the same for all data. ``given["exposure"]`` (B,) or (B, 1), where the data have one,
    multiplies the m_d.

    Args:
        dispersion: Where a starts, and the variance of the NB is m + a m^2; training starts it at
            this many times that of the data.
        floor: The least a.

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
        """log m and logit pi."""
        return (self.event_shape, self.event_shape)

    def set_event_shape(self, event_shape: Shape) -> None:
        """Each entry gets a dispersion of its own."""
        super().set_event_shape(event_shape)
        self.dispersion.spread_over(event_shape)

    def encoder_input(self, x: Tensor) -> Tensor:
        """asinh x: the logarithm of large counts; pseudo-inputs may be negative."""
        return x.asinh()

    def forward(self, params: Tensor) -> Distribution:
        """(*batch, *out_shape) -> p(x|z) with batch_shape (*batch)."""
        log_mean, logits = self.split(params)
        counts = GammaPoisson(bounded_rate(log_mean), self.dispersion())
        return Independent(ZeroInflated(counts, logits), len(self.event_shape))

    def start_at(self, x: Tensor, exposure: Tensor | None = None) -> tuple[Tensor, ...]:
        """Those of the negative binomial, with few zeros beside its own."""
        rate = mean_rate(x, exposure) / (1 - _LOST)
        self.dispersion.start_at(dispersion_of(x, rate, exposure))
        lost = torch.full_like(rate, _LOST)
        return rate.log(), lost.logit()
