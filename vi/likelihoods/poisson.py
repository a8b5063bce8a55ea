"""Independent counts whose variance is their mean."""

from torch import Tensor
from torch.distributions import Distribution, Independent, constraints

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.counts import LogRatePoisson, bounded_rate, mean_rate
from vi.math import Shape


class Poisson(ConditionalDistribution):
    """p(x|z) = prod_d lambda_d^x_d exp(-lambda_d) / x_d!, with log lambda_d from the decoder.

    ``given["exposure"]`` (B,) or (B, 1), where the data have one, multiplies the rates.

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
        """log lambda."""
        return (self.event_shape,)

    def encoder_input(self, x: Tensor) -> Tensor:
        """asinh x: the logarithm of large counts; pseudo-inputs may be negative."""
        return x.asinh()

    def forward(self, params: Tensor) -> Distribution:
        """(*batch, *out_shape) -> p(x|z) with batch_shape (*batch)."""
        (log_rate,) = self.split(params)
        return Independent(LogRatePoisson(bounded_rate(log_rate)), len(self.event_shape))

    def start_at(self, x: Tensor, exposure: Tensor | None = None) -> tuple[Tensor, ...]:
        """The logarithms of the mean rates."""
        return (mean_rate(x, exposure).log(),)
