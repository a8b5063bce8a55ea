"""Independent counts that vary more than Poisson counts do."""

from torch import Tensor
from torch.distributions import Distribution, Independent, constraints

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.counts import GammaPoisson, bounded_rate, dispersion_of, mean_rate
from vi.distributions.positive import PositiveParameter
from vi.math import Shape


class NegativeBinomial(ConditionalDistribution):
    """p(x|z) = prod_d NB(x_d; mean m_d(z), variance m_d + a_d m_d^2), log m_d from the decoder.

    The dispersion a_d = 1 / theta_d of each entry is learned, the same for all data.
    ``given["exposure"]`` (B,) or (B, 1), where the data have one, multiplies the means.

    Args:
        dispersion: Where a starts; training starts it at this many times that of the data.
        floor: The least a; there the standard deviation is sqrt(floor) of a large mean.

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
        """log m."""
        return (self.event_shape,)

    def set_event_shape(self, event_shape: Shape) -> None:
        """Each entry gets a dispersion of its own."""
        super().set_event_shape(event_shape)
        self.dispersion.spread_over(event_shape)

    def encoder_input(self, x: Tensor) -> Tensor:
        """asinh x: the logarithm of large counts; pseudo-inputs may be negative."""
        return x.asinh()

    def forward(self, params: Tensor) -> Distribution:
        """(*batch, *out_shape) -> p(x|z) with batch_shape (*batch)."""
        (log_mean,) = self.split(params)
        counts = GammaPoisson(bounded_rate(log_mean), self.dispersion())
        return Independent(counts, len(self.event_shape))

    def start_at(self, x: Tensor, exposure: Tensor | None = None) -> tuple[Tensor, ...]:
        """The logarithms of the mean rates, and a from the variances."""
        rate = mean_rate(x, exposure)
        self.dispersion.start_at(dispersion_of(x, rate, exposure))
        return (rate.log(),)
