"""The Gaussian with a stored log-scale, and the standard normal."""

import math
from typing import Any

import torch
from torch import Tensor

from vi.distributions.protocols import LogScaled
from vi.math import Shape

_LOG_2_PI = math.log(2 * math.pi)


class Normal(LogScaled, torch.distributions.Normal):
    """Gaussian N(x; m, s^2) = exp(-y^2 / 2) / (s sqrt(2 pi)) with y = (x - m) / s.

    y is squared, whereas torch squares x - m and s separately, which underflows or overflows in
    single precision for s < 1e-19 and s > 1e19.

    Args:
        loc: m.
        scale: s, of the same shape.
        log_scale: log s if it is known, which saves a logarithm.
        validate_args: Whether to reject arguments out of range; the check waits for the device.

    >>> q = Normal(torch.zeros(()), torch.tensor(1e30))
    >>> q.log_prob(torch.tensor(1e30)), torch.distributions.Normal(0.0, q.scale).log_prob(q.scale)
    (tensor(-70.4965), tensor(nan))
    """

    def __init__(
        self,
        loc: Tensor,
        scale: Tensor,
        log_scale: Tensor | None = None,
        *,
        validate_args: bool = False,
    ) -> None:
        super().__init__(loc, scale, validate_args)
        self._log_scale = log_scale

    @property
    def log_scale(self) -> Tensor:
        """log s, (*batch)."""
        return self.scale.log() if self._log_scale is None else self._log_scale

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draw m + s e with e ~ N(0, 1), (*sample_shape, *batch).

        A single draw is not broadcast, so that its gradient needs no sum over a sample axis.
        """
        shape = self._extended_shape(sample_shape)
        noise = torch.empty(shape, dtype=self.loc.dtype, device=self.loc.device).normal_()
        if noise.numel() == self.loc.numel():
            return (self.loc + self.scale * noise.view_as(self.loc)).view(shape)
        return self.loc + self.scale * noise

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log N(x; m, s^2) in nats, (*batch)."""
        y = (value - self.loc) / self.scale
        return -0.5 * (y.square() + _LOG_2_PI) - self.log_scale

    def entropy(self) -> Tensor:
        """Return log s + (1 + log 2 pi) / 2 in nats, (*batch)."""
        return self.log_scale + 0.5 * (1 + _LOG_2_PI)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> "Normal":
        """Return the same distribution with this batch_shape."""
        parts = (self.loc, self.scale, self.log_scale)
        return type(self)(*(part.expand(batch_shape) for part in parts))


class UnitNormal(Normal):
    """Standard normal N(x; 0, 1), whose log-density needs no subtraction and no division.

    Args:
        zero: Zeros of the shape of x.

    >>> UnitNormal(torch.zeros(2)).log_prob(torch.zeros(5, 2)).shape
    torch.Size([5, 2])
    """

    def __init__(self, zero: Tensor) -> None:
        super().__init__(zero, torch.ones_like(zero), zero)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log N(x; 0, 1) in nats, (*batch)."""
        return -0.5 * (value.square() + _LOG_2_PI)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> "Normal":
        """Return the same distribution with this batch_shape."""
        return type(self)(self.loc.expand(batch_shape))
