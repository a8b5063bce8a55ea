"""Independent bits."""

from torch import Tensor
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Distribution, Independent, constraints

from vi.distributions.conditional import ConditionalDistribution
from vi.math import Shape


class Bernoulli(ConditionalDistribution):
    """p(x|z) = prod_d p_d^x_d (1 - p_d)^(1 - x_d), with logit p_d from the decoder.

    >>> import torch
    >>> likelihood = Bernoulli()
    >>> likelihood.set_event_shape((4,))
    >>> likelihood(torch.zeros(5, 4)).log_prob(torch.ones(5, 4))[0]
    tensor(-2.7726)
    """

    support = constraints.boolean
    needs = "0/1 data"

    def __init__(self) -> None:
        super().__init__()

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """The logits."""
        return (self.event_shape,)

    def forward(self, params: Tensor) -> Distribution:
        """(*batch, *out_shape) -> p(x|z) with batch_shape (*batch)."""
        (logits,) = self.split(params)
        bits = TorchBernoulli(logits=logits, validate_args=False)
        return Independent(bits, len(self.event_shape))
