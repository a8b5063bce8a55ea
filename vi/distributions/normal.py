"""The Gaussian whose density also holds where the square of its scale is no float."""

import math

import torch
from torch import Tensor


class Normal(torch.distributions.Normal):
    """N(x; m, s^2) = exp(-y^2 / 2) / (s sqrt(2 pi)) with y = (x - m) / s.

    What is squared is y: torch squares x - m and s, which in single precision leaves nothing of
    s < 1e-19 and s > 1e19.

    Args:
        loc: m.
        scale: s, of the same shape.

    >>> q = Normal(torch.zeros(()), torch.tensor(1e30))
    >>> q.log_prob(torch.tensor(1e30)), torch.distributions.Normal(0.0, q.scale).log_prob(q.scale)
    (tensor(-70.4965), tensor(nan))
    """

    def log_prob(self, value: Tensor) -> Tensor:
        """In nats."""
        y = (value - self.loc) / self.scale
        return -0.5 * (y.square() + math.log(2 * math.pi)) - self.scale.log()
