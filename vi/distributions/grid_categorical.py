"""The categorical distribution over numbers on a grid."""

import torch
from torch import Tensor
from torch.distributions import Distribution

from vi.math import Shape


class GridCategorical(Distribution):
    """Categorical over a grid, P(x = k / levels) = softmax(logits)_k for k = 0 .. C - 1.

    Each entry has a distribution of its own.

    Args:
        logits: log P up to a constant, (*batch, C).
        levels: Steps between 0 and 1; 1 for integers.

    >>> p = GridCategorical(torch.tensor([0.0, 0.0, 0.0]), levels=2)
    >>> p.mean, p.log_prob(torch.tensor([0.0, 0.5, 1.0]))
    (tensor(0.5000), tensor([-1.0986, -1.0986, -1.0986]))
    """

    arg_constraints = {}  # pyright: ignore

    def __init__(self, logits: Tensor, levels: int = 1) -> None:
        super().__init__(logits.shape[:-1], validate_args=False)
        self.log_probs = logits.log_softmax(-1)
        self.levels = levels

    @property
    def values(self) -> Tensor:
        """The numbers 0, 1 / levels, .., (C - 1) / levels, (C,)."""
        like = {"dtype": self.log_probs.dtype, "device": self.log_probs.device}
        return torch.arange(self.log_probs.shape[-1], **like) / self.levels

    @property
    def mean(self) -> Tensor:
        """E[x], (*batch), in the units of the data."""
        return self.log_probs.exp() @ self.values

    @property
    def variance(self) -> Tensor:
        """Var[x], (*batch), in the squared units of the data."""
        deviation = self.values - self.mean[..., None]
        return (self.log_probs.exp() * deviation.square()).sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log P(value) in nats, (*batch); value is rounded to the grid."""
        index = (value * self.levels).round().long()
        shape = torch.broadcast_shapes(value.shape, self.batch_shape)
        log_probs = self.log_probs.expand(*shape, -1)
        return log_probs.gather(-1, index.expand(shape)[..., None]).squeeze(-1)

    @torch.no_grad()
    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw by inverting the distribution function, (*sample_shape, *batch).

        Each entry takes one uniform number in (0, 1].
        """
        cumulated = self.log_probs.exp().cumsum(-1)
        shape = self._extended_shape(torch.Size(sample_shape))
        u = 1 - torch.rand(shape, dtype=cumulated.dtype, device=cumulated.device)
        at = (u * cumulated[..., -1]).reshape(-1, *self.batch_shape).movedim(0, -1)
        index = torch.searchsorted(cumulated.contiguous(), at.contiguous())
        return index.movedim(-1, 0).reshape(u.shape).to(u) / self.levels
