"""The likelihood of numbers between 0 and 1, both included."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, constraints

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.moments import mean_of
from vi.math import Shape

_STEEPEST, _HALVINGS = 100.0, 50  # initial logits lie within +-100, means within 0.01 and 0.99


class ContinuousBernoulli(ConditionalDistribution):
    """Continuous Bernoulli p(x|z) = prod_d exp(l_d x_d - A(l_d)) with A(l) = log((exp l - 1) / l).

    The data satisfy 0 <= x_d <= 1, and the decoder outputs the logits l. This is the normalised
    version of the Bernoulli "likelihood" of grey pixels: exp(l x) / (1 + exp l) does not integrate
    to 1 over [0, 1].

    Reference: Loaiza-Ganem and Cunningham, 2019, https://arxiv.org/abs/1907.06845

    >>> likelihood = ContinuousBernoulli()
    >>> likelihood.set_event_shape((4,))
    >>> likelihood(torch.zeros(4)).log_prob(torch.rand(4))
    tensor(0.)
    """

    support = constraints.unit_interval
    needs = "numbers from 0 to 1"

    def __init__(self) -> None:
        super().__init__()

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """Shape of the logits, that of x."""
        return (self.event_shape,)

    def forward(self, params: Tensor) -> Distribution:
        """Build p(x|z) with batch_shape (*batch) from the logits (*batch, *out_shape)."""
        (logits,) = self.split(params)
        return Independent(_ContinuousBernoulli(logits), len(self.event_shape))

    def start_at(self, x: Tensor, exposure: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return the logits whose means are those of the data, found by bisection."""
        mean = mean_of(x)
        low, high = torch.full_like(mean, -_STEEPEST), torch.full_like(mean, _STEEPEST)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            below = _mean(middle) < mean
            low, high = middle.where(below, low), high.where(below, middle)
        return ((low + high) / 2,)


class _ContinuousBernoulli(Distribution):
    """Continuous Bernoulli in terms of logits only.

    torch's version limits 1 - p by the rounding of 1, and loses digits near p = 1/2.
    """

    arg_constraints = {}  # pyright: ignore
    support = constraints.unit_interval  # pyright: ignore

    def __init__(self, logits: Tensor) -> None:
        super().__init__(logits.shape, validate_args=False)
        self.logits = logits

    @property
    def mean(self) -> Tensor:
        return _mean(self.logits)

    @property
    def variance(self) -> Tensor:
        return _variance(self.logits)

    @torch.no_grad()
    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw by inverting F(x) = (exp(l x) - 1) / (exp l - 1) for -|l|, mirrored for l > 0."""
        shape = self._extended_shape(sample_shape)
        u = torch.rand(shape, dtype=self.logits.dtype, device=self.logits.device)
        slope = self.logits.abs().clamp_min(torch.finfo(u.dtype).tiny / torch.finfo(u.dtype).eps)
        x = (-(u * (-slope).expm1()).log1p() / slope).clamp(0, 1)
        return torch.where(self.logits > 0, 1 - x, x)

    def log_prob(self, value: Tensor) -> Tensor:
        return value * self.logits - _LogNormaliser.apply(self.logits)


class _LogNormaliser(torch.autograd.Function):
    """A(l), whose derivative is the mean."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor) -> Tensor:
        ctx.save_for_backward(logits)
        near, l = _split(logits)
        far = l.relu() + (-(-l.abs()).expm1() / l.abs()).log()
        return torch.where(near, logits / 2 + _series(logits, _LOG) * (logits / 2) ** 2, far)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (logits,) = ctx.saved_tensors
        return grads[0] * _mean(logits)


def _mean(logits: Tensor) -> Tensor:
    """Return the mean 1 / (1 - exp(-l)) - 1 / l."""
    near, l = _split(logits)
    return torch.where(near, 0.5 + _series(logits, _FIRST) * logits / 4, -1 / (-l).expm1() - 1 / l)


def _variance(logits: Tensor) -> Tensor:
    """Return the variance 1 / l^2 - 1 / (2 sinh(l / 2))^2."""
    near, l = _split(logits)
    far = l.square().reciprocal() - (2 * (l / 2).sinh()).square().reciprocal()
    return torch.where(near, _series(logits, _SECOND) / 4, far)


# Around l = 0, with h = l / 2: A(l) = h + log(sinh h / h), whose second term is the sum over k of
# (-1)^(k + 1) zeta(2 k) / (k pi^(2 k)) h^(2 k). It converges for h < pi.
_NEAR = 0.5
_ZETA = (1 / 6, 1 / 90, 1 / 945, 1 / 9450, 1 / 93555, 691 / 638512875, 2 / 18243225)
_SIGNED = [z * (-1) ** k for k, z in enumerate(_ZETA)]
_LOG = [z / (k + 1) for k, z in enumerate(_SIGNED)]
_FIRST = [2 * z for z in _SIGNED]
_SECOND = [2 * (2 * k + 1) * z for k, z in enumerate(_SIGNED)]


def _series(logits: Tensor, coefficients: list[float]) -> Tensor:
    """Return sum_k c_k h^(2 k) with h = l / 2, by Horner's rule."""
    t = (logits / 2).square()
    total = torch.zeros_like(t)
    for c in reversed(coefficients):
        total = total * t + c
    return total


def _split(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return where the series is used, and logits that are safe in the closed form."""
    near = logits.abs() < _NEAR
    return near, logits.masked_fill(near, 1.0)
