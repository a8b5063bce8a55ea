"""The likelihood of Poisson counts."""

from torch import Tensor
from torch.distributions import Distribution, Independent, constraints

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.counts import LogRatePoisson, bounded_rate, mean_rate
from vi.math import Shape


class Poisson(ConditionalDistribution):
    """Poisson counts p(x|z) = prod_d lambda_d^x_d exp(-lambda_d) / x_d!.

    The decoder outputs log lambda; values above 30 are compressed (``bounded_rate``). If the data
    have an exposure, ``given["exposure"]`` (B,) or (B, 1), it multiplies the rates.

    >>> import torch
    >>> likelihood = Poisson()
    >>> likelihood.set_event_shape((3,))
    >>> likelihood(torch.zeros(5, 3)).log_prob(torch.zeros(5, 3))[0]
    tensor(-3.)
    """

    support = constraints.nonnegative_integer
    needs = "counts 0, 1, 2, .."

    def __init__(self) -> None:
        super().__init__()

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """Shape of log lambda, that of x."""
        return (self.event_shape,)

    def encoder_input(self, x: Tensor) -> Tensor:
        """Return asinh x, which is log 2x for large counts.

        Unlike log(1 + x) it is defined for negative pseudo-inputs too.
        """
        return x.asinh()

    def forward(self, params: Tensor) -> Distribution:
        """Build p(x|z) with batch_shape (*batch) from log lambda (*batch, *out_shape)."""
        (log_rate,) = self.split(params)
        return Independent(LogRatePoisson(bounded_rate(log_rate)), len(self.event_shape))

    def start_at(self, x: Tensor, exposure: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return the log of the mean rate of each entry."""
        return (mean_rate(x, exposure).log(),)
