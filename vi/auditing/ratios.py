"""Identities of draws and density, which hold in any number of dimensions."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal
from torch.distributions.constraints import Constraint

from vi.errors import ConfigurationError
from vi.testing.quadrature import kind

_SAMPLES = 4000
_PIVOTS, _NEAR = 4, 4  # known densities, each fitted to a quarter of the draws
_NARROW = 0.9  # of the standard deviations of these draws
_UNDECIDED = 0.05  # standard error of a total of 1


class Total(NamedTuple):
    """How far the sum or integral of a density is from 1.

    Args:
        off: The largest |log of the integral|, in nats, or what a term is off in a proof by parts.
        tolerance: The largest that the method explains.
        how: The method, in a few words.
    """

    off: float
    tolerance: float
    how: str


def mean_of_ratios(p: Distribution, support: Constraint | None) -> Total:
    """E_p[r(z) / p(z)] = 1 for every density r on the support of p.

    r is a Gaussian fitted to the draws around one of them, and a little narrower, so that the
    ratios are bounded.

    Raises:
        ConfigurationError: The support is not that of real vectors, or the error is too large.
    """
    if len(p.event_shape) != 1 or (support is not None and kind(support) != "Real"):
        where = "an event of several axes" if support is None else f"{kind(support)} events"
        raise ConfigurationError(
            f"{type(p).__name__} does not say how it factorises, and its {p.event_shape.numel()} "
            f"entries ({where}) are too many to sum or integrate over",
            hint="derive it from vi.distributions.protocols.Autoregressive",
        )
    fitted, z = (p.sample((_SAMPLES,)).double() for _ in range(2))
    log_p = p.log_prob(z.to(_dtype(p))).double()
    ratios = torch.stack([(r.log_prob(z) - log_p).exp() for r in _near(fitted)]).mean(0)
    mean = ratios.mean(0)
    error = (ratios.std(0) / math.sqrt(len(ratios))).max().item()
    if not error < _UNDECIDED:
        raise ConfigurationError(
            f"E[r/p] of {type(p).__name__} has a standard error of {error:.2g}",
            hint="no simple density is close to it",
        )
    off = mean.log().abs().max().item()
    return Total(off, max(5 * error, 1e-3), f"E[r/p] over {_SAMPLES} draws")


def _dtype(p: Distribution) -> torch.dtype:
    return p.sample().dtype


def _near(z: Tensor) -> list[MultivariateNormal]:
    """Return Gaussians fitted to the quarter of the draws that is closest to one of them."""
    scale, found = z.std(0), []
    for pivot in z[:_PIVOTS]:
        distance = ((z - pivot) / scale).square().sum(-1)
        nearest = distance.argsort(0)[: len(z) // _NEAR]
        some = z.take_along_dim(nearest[..., None], 0)
        mean = some.mean(0)
        centred = some - mean
        cov = torch.einsum("n...i,n...j->...ij", centred, centred) / (len(some) - 1)
        tril = torch.linalg.cholesky(cov + 1e-12 * torch.eye(z.shape[-1]).to(cov))
        found.append(MultivariateNormal(mean, scale_tril=_NARROW * tril, validate_args=False))
    return found


class Balance(NamedTuple):
    """Whether draws are those of a density.

    Args:
        off: Mean of the antisymmetric statistic, which is 0 if they are.
        sigmas: How many standard errors it is from 0.
    """

    off: float
    sigmas: float


def balance(p: Distribution, support: Constraint | None, z: Tensor, step: float = 1.0) -> Balance:
    """Return the mean of tanh(u / 2) / (1 + exp(-u)) with u = log p(z') - log p(z).

    z' is a symmetric move of a draw z. The product p(z) p(z') / (p(z) + p(z')) is symmetric in z
    and z', and tanh(u / 2) antisymmetric, so that the mean is 0 exactly when z ~ p. All terms lie
    between -1 and 1, whatever p is, and a constant factor of p drops out: this is about draws and
    the shape of the density.

    Args:
        p: Its density.
        support: The support of an entry, or of the whole event.
        z: Draws, (n, *batch, *event).
        step: Size of a move, in standard deviations in all.
    """
    moved = _moved(z, kind(support) if support is not None else "Real", support, step, p)
    u = p.log_prob(moved).double() - p.log_prob(z).double()
    terms = ((u / 2).tanh() * u.sigmoid()).nan_to_num(nan=1.0)
    terms = terms.flatten(1).mean(1) if terms.ndim > 1 else terms
    error = terms.std().item() / math.sqrt(len(terms))
    off = terms.mean().item()
    return Balance(off, abs(off) / max(error, 1e-12) if abs(off) > 1e-9 else 0.0)


def _moved(
    z: Tensor, where: str, support: Constraint | None, step: float, p: Distribution
) -> Tensor:
    """Return a symmetric move of every draw that stays on the support."""
    rank = len(p.event_shape)
    if where == "OneHot":
        index = torch.randint(z.shape[-1], z.shape[:-1], device=z.device)
        return torch.nn.functional.one_hot(index, z.shape[-1]).to(z)
    if where in ("Boolean", "Grid", "IntegerGreaterThan"):
        return _one_entry(z, where, support, rank)
    size = max(1, p.event_shape.numel())
    noise = torch.randn_like(z) * step / math.sqrt(size)
    if where == "Sphere":
        moved = z + noise
        return moved / moved.norm(dim=-1, keepdim=True)
    moved = z + noise * z.std(0)
    if where in ("Interval", "OpenUnitInterval"):
        moved = moved.remainder(2)  # reflected at 0 and 1
        return torch.minimum(moved, 2 - moved)
    return moved.abs() if where in ("GreaterThan", "GreaterThanEq") else moved


def _one_entry(z: Tensor, where: str, support: Constraint | None, rank: int) -> Tensor:
    """Return draws with one entry, chosen at random, flipped or moved by a step on its grid."""
    flat = z.flatten(-rank).clone() if rank else z.unsqueeze(-1).clone()
    place = torch.randint(flat.shape[-1], flat.shape[:-1], device=z.device)[..., None]
    value = flat.gather(-1, place)
    if where == "Boolean":
        new = 1 - value
    else:
        levels = getattr(support, "levels", 1)
        sign = 2.0 * torch.randint(2, value.shape, device=z.device) - 1
        new = ((value * levels).round() + sign) / levels
        most = (support.num - 1) / levels if where == "Grid" else math.inf  # pyright: ignore
        new = value.where((new < 0) | (new > most + 1e-9), new)  # a move that stays
    return flat.scatter(-1, place, new).view(z.shape)
