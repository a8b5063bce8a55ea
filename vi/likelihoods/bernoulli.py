"""The likelihood of binary data."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Distribution, Independent, constraints
from torch.nn.functional import softplus

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.moments import known
from vi.math import Shape

_LINEAR = 40.0  # above it log(1 + exp l) equals l to the last bit, even in double precision


class Bernoulli(ConditionalDistribution):
    """Independent bits p(x|z) = prod_d p_d^x_d (1 - p_d)^(1 - x_d), for data in {0, 1}.

    The decoder outputs logit p_d, of the shape of x.

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
        """Shape of the logits, that of x."""
        return (self.event_shape,)

    def forward(self, params: Tensor) -> Distribution:
        """Build p(x|z) with batch_shape (*batch) from the logits (*batch, *out_shape)."""
        (logits,) = self.split(params)
        bits = TorchBernoulli(logits=logits, validate_args=False)
        return _Bits(bits, len(self.event_shape))

    def start_at(self, x: Tensor, exposure: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return the logits of (number of ones + 1/2) / (number of data + 1)."""
        ones = x.nansum(0)
        return ((ones + 0.5).log() - (known(x) - ones + 0.5).log(),)


class _Bits(Independent):
    """Independent bits with log p = sum_d x_d l_d - log(1 + exp l_d) in few passes over memory."""

    def log_prob(self, value: Tensor) -> Tensor:
        logits: Tensor = self.base_dist.logits  # pyright: ignore[reportAttributeAccessIssue]
        return _LogProb.apply(self._vectors(logits), self._vectors(value))

    def _vectors(self, x: Tensor) -> Tensor:
        rank = self.reinterpreted_batch_ndims
        return x.flatten(-rank) if rank else x.unsqueeze(-1)


class _LogProb(torch.autograd.Function):
    """log p of bits x (.., D) with logits l (.., D); its gradient in l is x - p."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(logits, x)
        return (x * logits).sub_(softplus(logits, threshold=_LINEAR)).sum(-1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None]:
        logits, x = ctx.saved_tensors
        g = grads[0].unsqueeze(-1)
        of_x = (g * logits).sum_to_size(x.shape) if ctx.needs_input_grad[1] else None
        return torch.sub(x, logits.sigmoid()).mul_(g), of_x
