"""The likelihood of overdispersed counts."""

from torch import Tensor
from torch.distributions import Distribution, Independent, constraints

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.counts import GammaPoisson, bounded_rate, dispersion_of, mean_rate
from vi.distributions.positive import PositiveParameter
from vi.math import Shape


class NegativeBinomial(ConditionalDistribution):
    """Negative binomial p(x|z) = prod_d NB(x_d) with mean m_d(z) and variance m_d + a_d m_d^2.

    The decoder outputs log m. The dispersion a_d = 1 / theta_d of each entry is learned and the
    same for all data. If the data have an exposure, ``given["exposure"]`` (B,) or (B, 1), it
    multiplies the means.

    Args:
        dispersion: Initial a; training multiplies it by the dispersion of the data.
        floor: Lower limit of a; there the standard deviation of a large mean is sqrt(floor) times
            that mean.

    Raises:
        ConfigurationError: floor <= 0, or dispersion <= floor.

    Reference: Lopez, Regier, Cole, Jordan and Yosef, 2018,
    https://doi.org/10.1038/s41592-018-0229-2

    >>> import torch
    >>> likelihood = NegativeBinomial()
    >>> likelihood.set_event_shape((3,))
    >>> likelihood(torch.zeros(5, 3)).variance[0]
    tensor([2., 2., 2.], grad_fn=<SelectBackward0>)
    """

    support = constraints.nonnegative_integer
    needs = "counts 0, 1, 2, .."

    def __init__(self, dispersion: float = 1.0, floor: float = 1e-4) -> None:
        super().__init__()
        self.dispersion = PositiveParameter("dispersion", dispersion, floor=floor)

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """Shape of log m, that of x."""
        return (self.event_shape,)

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
        """Build p(x|z) with batch_shape (*batch) from log m (*batch, *out_shape)."""
        (log_mean,) = self.split(params)
        counts = GammaPoisson(bounded_rate(log_mean), self.dispersion())
        return Independent(counts, len(self.event_shape))

    def start_at(self, x: Tensor, exposure: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return the log of the mean rate of each entry, and set a from the variances."""
        rate = mean_rate(x, exposure)
        self.dispersion.start_at(dispersion_of(x, rate, exposure))
        return (rate.log(),)
