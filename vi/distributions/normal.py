"""The Gaussian by its logarithmic scale, and the one that needs no scale."""

import math
from typing import Any

import torch
from torch import Tensor

from vi.distributions.protocols import LogScaled
from vi.math import Shape

_LOG_2_PI = math.log(2 * math.pi)


class Normal(LogScaled, torch.distributions.Normal):
    """N(x; m, s^2) = exp(-y^2 / 2) / (s sqrt(2 pi)) with y = (x - m) / s.

    What is squared is y: torch squares x - m and s, which in single precision leaves nothing of
    s < 1e-19 and s > 1e19.

    Args:
        loc: m.
        scale: s, of the same shape.
        log_scale: log s where it is known, so that it need not be found again.
        validate_args: Whether to refuse arguments out of range, which waits for a device.

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
        """log s."""
        return self.scale.log() if self._log_scale is None else self._log_scale

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """m + s e with e ~ N(0, 1); one draw is not broadcast, nor its gradient summed."""
        shape = self._extended_shape(sample_shape)
        noise = torch.empty(shape, dtype=self.loc.dtype, device=self.loc.device).normal_()
        if noise.numel() == self.loc.numel():
            return (self.loc + self.scale * noise.view_as(self.loc)).view(shape)
        return self.loc + self.scale * noise

    def log_prob(self, value: Tensor) -> Tensor:
        """In nats."""
        y = (value - self.loc) / self.scale
        return -0.5 * (y.square() + _LOG_2_PI) - self.log_scale

    def entropy(self) -> Tensor:
        """In nats."""
        return self.log_scale + 0.5 * (1 + _LOG_2_PI)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> "Normal":
        """The same of a larger batch."""
        parts = (self.loc, self.scale, self.log_scale)
        return type(self)(*(part.expand(batch_shape) for part in parts))


class UnitNormal(Normal):
    """N(x; 0, 1), which neither subtracts nor divides.

    Args:
        zero: 0, of the shape of x.

    >>> UnitNormal(torch.zeros(2)).log_prob(torch.zeros(5, 2)).shape
    torch.Size([5, 2])
    """

    def __init__(self, zero: Tensor) -> None:
        super().__init__(zero, torch.ones_like(zero), zero)

    def log_prob(self, value: Tensor) -> Tensor:
        """In nats."""
        return -0.5 * (value.square() + _LOG_2_PI)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> "Normal":
        """The same of a larger batch."""
        return type(self)(self.loc.expand(batch_shape))
