"""Gaussian mixtures with reparameterised draws."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Independent
from torch.nn.functional import pad

from vi.distributions.implicit import refuse_second_derivative
from vi.distributions.mixture import FiniteMixture
from vi.distributions.normal import Normal
from vi.math import Shape

_MOST = 1e3  # largest factor by which the dependence between entries may amplify a gradient


class NormalMixture(FiniteMixture):
    """Gaussian mixture p(z) = sum_c w_c N(z; m_c, diag(s_c^2)) with implicit reparameterisation.

    A draw solves F(z; parameters) = u with uniform u, where F_d is the distribution function of
    z_d given z_1 .. z_(d-1). Hence dz = -(dF/dz)^-1 dF, which does not depend on the component
    that was drawn. The gradient of a draw can be taken once; a second derivative raises an error.

    Between two components a small change of one entry can move the next entries far. A gradient
    that grows more than a thousandfold on its way through the entries is scaled down to that
    factor.

    Args:
        logits: log w_c up to a constant, (*batch, C).
        loc: m, (*batch, C, Z).
        scale: s > 0, (*batch, C, Z).

    Reference: Graves, 2016, https://arxiv.org/abs/1607.05690; Figurnov, Mohamed and Mnih, 2018,
    https://arxiv.org/abs/1805.08498

    >>> p = NormalMixture(torch.zeros(2), torch.tensor([[-1.0], [1.0]]), torch.ones(2, 1))
    >>> p.mean, p.variance, p.rsample((5,)).shape
    (tensor([0.]), tensor([2.]), torch.Size([5, 1]))
    """

    has_rsample = True

    def __init__(self, logits: Tensor, loc: Tensor, scale: Tensor) -> None:
        super().__init__(logits, Independent(Normal(loc, scale), 1))
        self.loc, self.scale = loc, scale

    def draw_from(self, index: Tensor) -> Tensor:
        """Draw one z from each of the given components.

        Args:
            index: Numbers of components, (.., *batch).

        Returns:
            z, (.., *batch, Z).
        """
        loc, scale = (
            t.expand(*index.shape, *t.shape[-2:])
            .take_along_dim(index[..., None, None], -2)
            .squeeze(-2)
            for t in (self.loc, self.scale)
        )
        return loc + scale * torch.randn_like(loc)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw z as ``sample`` does, with its implicit gradient, (*sample_shape, *batch, Z)."""
        z = self.sample(sample_shape)
        parameters = (self.log_weights, self.loc, self.scale)
        if not (torch.is_grad_enabled() and any(p.requires_grad for p in parameters)):
            return z
        given = self._conditionals(z)
        with torch.no_grad():
            slopes = self._slopes(z, given)
        return _Implicit.apply(given.cdf, z, *slopes)

    def _conditionals(self, z: Tensor) -> "_Conditionals":
        """Return the distribution functions and densities of z_d given z_1 .. z_(d-1)."""
        y = (z.unsqueeze(-2) - self.loc) / self.scale
        log_n = -0.5 * y.square() - self.scale.log()
        before = pad(log_n[..., :-1], (1, 0)).cumsum(-1)  # of z_1 .. z_(d-1)
        log_w = (self.log_weights.unsqueeze(-1) + before).log_softmax(-2)
        weight = log_w.exp()
        tail = _nearer_tail(y, weight)
        log_density = (log_w + log_n).logsumexp(-2) - 0.5 * math.log(2 * math.pi)
        return _Conditionals(weight, tail, (weight * tail).sum(-2), log_density)

    def _slopes(self, z: Tensor, given: "_Conditionals") -> tuple[Tensor, Tensor, Tensor]:
        """Return what the backward pass needs: dF_d / dz_d, the rows of dF / dz, and widths.

        The diagonal is the density dF_d / dz_d, (.., Z). The rows (.., Z, Z) are divided by it;
        below the diagonal dF_d / dz_j = sum_c w_cd (Phi_cd - F_d) d log N(z_j; c) / dz_j. The
        widths sum_c w_cd s_cd, (.., Z), make gradients of different entries comparable.
        """
        density = given.log_density.exp().clamp_min(torch.finfo(z.dtype).tiny)
        share = given.weight * (given.tail - given.cdf.unsqueeze(-2)) / density.unsqueeze(-2)
        score = (self.loc - z.unsqueeze(-2)) / self.scale / self.scale
        width = (given.weight * self.scale).sum(-2)
        return density, share.mT @ score.nan_to_num(), width


class _Conditionals(NamedTuple):
    """Quantities of z_d given z_1 .. z_(d-1), for each d."""

    weight: Tensor  # w_cd of each component, (.., C, Z)
    tail: Tensor  # Phi((z_d - m_cd) / s_cd), or that minus 1, (.., C, Z)
    cdf: Tensor  # F_d, or F_d - 1, (.., Z)
    log_density: Tensor  # log dF_d / dz_d, (.., Z)


def _nearer_tail(y: Tensor, weight: Tensor) -> Tensor:
    """Return Phi(y), minus 1 in dimensions where z lies above the median.

    So both tails keep their digits.
    """
    with torch.no_grad():
        above = (weight * torch.special.ndtr(y)).sum(-2, keepdim=True) > 0.5
        side = 1.0 - 2.0 * above.to(y.dtype)
    return side * torch.special.ndtr(side * y)


class _Implicit(torch.autograd.Function):
    """z as the function of the parameters that keeps F(z; parameters) constant."""

    @staticmethod
    def forward(ctx: Any, cdf: Tensor, z: Tensor, *slopes: Tensor) -> Tensor:
        ctx.save_for_backward(*slopes)
        return z.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        refuse_second_derivative("a mixture of Gaussians")
        density, rows, width = ctx.saved_tensors
        of_z = grads[0].unsqueeze(-1)
        solved = torch.linalg.solve_triangular(rows.mT, of_z, upper=True, unitriangular=True)
        alone, whole = ((g.squeeze(-1) * width).abs().amax(-1, True) for g in (of_z, solved))
        shorter = (_MOST * alone / whole).clamp_max(1)
        gradient = (solved.squeeze(-1) * shorter / density).nan_to_num(0, 0, 0)
        return -gradient, None, None, None, None
