"""Distributions over unit vectors."""

import math
from functools import partial

import torch
from torch import Tensor
from torch.distributions import Distribution, register_kl

from vi.distributions.constraints import sphere
from vi.distributions.polar_angle import PolarAngle, versine_of
from vi.distributions.protocols import OnePass, ScoredDraws
from vi.math import Shape


class VonMisesFisherDistribution(OnePass, Distribution):
    """Von Mises-Fisher density C_d(kappa) exp(kappa mu'z) over unit vectors z of d dimensions.

    A draw is z = cos(theta) mu + sin(theta) v with v uniform and orthogonal to mu. theta is the
    quantile of a uniform number and has an implicit gradient in kappa. mu and v are axes of a
    Householder reflection, which is smooth around every mu. The pathwise gradient is therefore the
    whole gradient. The usual rejection sampler lacks a term, because its acceptance depends on
    kappa.

    Args:
        loc: mu, unit vectors (*batch, d), d >= 2.
        concentration: kappa >= 0, (*batch); 0 is the uniform distribution.

    Reference: Davidson, Falorsi, De Cao, Kipf and Tomczak, 2018, https://arxiv.org/abs/1804.00891

    >>> q = VonMisesFisherDistribution(torch.tensor([0.0, 0.0, 1.0]), torch.tensor(1.0))
    >>> q.mean, q.entropy()
    (tensor([0.0000, 0.0000, 0.3130]), tensor(2.3794))
    """

    arg_constraints = {}  # pyright: ignore
    support = sphere  # pyright: ignore
    has_rsample = True

    def __init__(self, loc: Tensor, concentration: Tensor) -> None:
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)
        self.loc, self.concentration = loc, concentration
        self.angle = PolarAngle(concentration.expand(self.batch_shape), loc.shape[-1])

    @property
    def mean(self) -> Tensor:
        """E[mu'z] mu, (*batch, d); its length is below 1."""
        return (1 - self.angle.mean_versine)[..., None] * self.loc

    @property
    def variance(self) -> Tensor:
        """Variance of every entry, (*batch, d)."""
        along, across = self.angle.variance_cosine, self.angle.mean_square_sine
        square = self.loc.square()
        return along[..., None] * square + self._each(across)[..., None] * (1 - square)

    def rsample_and_density(self, sample_shape: Shape = ()) -> ScoredDraws:
        """Draw z (*sample_shape, *batch, d), and log p from the angle, which keeps its digits."""
        z, theta = self._draw(sample_shape)
        return z, partial(self._density_of, theta)

    def _density_of(self, theta: Tensor) -> Tensor:
        """Return log p in nats from the angle theta, (*sample_shape, *batch)."""
        return -self.concentration * versine_of(theta) - self._log_normalizer

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p(z) in nats, (*batch), with respect to the area of the sphere.

        1 - mu'z is computed as |z - mu|^2 / 2, which keeps the digits that mu'z - 1 loses near mu.
        """
        half_square = (value - self.loc).square().sum(-1) / 2
        return -self.concentration * half_square - self._log_normalizer

    def entropy(self) -> Tensor:
        """Return the differential entropy in nats, (*batch)."""
        return self.concentration * self.angle.mean_versine + self._log_normalizer

    @property
    def _log_normalizer(self) -> Tensor:
        """kappa - log C_d(kappa) in nats, (*batch)."""
        return self.angle.log_normalizer + log_area(self.loc.shape[-1] - 1)

    def _each(self, total: Tensor) -> Tensor:
        """Return the share of each of the d - 1 directions orthogonal to mu."""
        return total / (self.loc.shape[-1] - 1)

    def _draw(self, sample_shape: Shape) -> tuple[Tensor, Tensor]:
        """Draw z and its angle theta to mu."""
        *shape, d = self._extended_shape(torch.Size(sample_shape))
        like = {"dtype": self.loc.dtype, "device": self.loc.device}
        theta = self.angle.quantile(torch.rand(shape, **like))
        across = theta.sin()[..., None] * unit_vectors(torch.randn((*shape, d - 1), **like))
        return _turned(torch.cat([theta.cos()[..., None], across], -1), self.loc), theta


class UniformSphereDistribution(Distribution):
    """Uniform distribution over unit vectors of d dimensions.

    Args:
        mean: Zeros (*batch, d), which set the shape, the precision and the device.

    >>> UniformSphereDistribution(torch.zeros(3)).log_prob(torch.tensor([0.0, 0.0, 1.0]))
    tensor(-2.5310)
    """

    arg_constraints = {}  # pyright: ignore
    support = sphere  # pyright: ignore

    def __init__(self, mean: Tensor) -> None:
        super().__init__(mean.shape[:-1], mean.shape[-1:], validate_args=False)
        self.zeros = mean

    @property
    def mean(self) -> Tensor:
        """Zeros, (*batch, d)."""
        return self.zeros

    @property
    def variance(self) -> Tensor:
        """1 / d for every entry, (*batch, d)."""
        return torch.full_like(self.zeros, 1 / self.event_shape[0])

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw z, (*sample_shape, *batch, d)."""
        shape = self._extended_shape(torch.Size(sample_shape))
        return unit_vectors(torch.randn(shape, dtype=self.zeros.dtype, device=self.zeros.device))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return minus the logarithm of the sphere's area in nats, (*batch)."""
        shape = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
        return value.new_full(shape, -log_area(self.event_shape[0]))

    def entropy(self) -> Tensor:
        """Return the logarithm of the sphere's area in nats, (*batch)."""
        return self.zeros.new_full(self.batch_shape, log_area(self.event_shape[0]))


@register_kl(VonMisesFisherDistribution, UniformSphereDistribution)
def _kl_uniform(q: VonMisesFisherDistribution, p: UniformSphereDistribution) -> Tensor:
    """Return the logarithm of the sphere's area minus H(q) in nats."""
    d = q.event_shape[0]
    ratio = log_area(d) - log_area(d - 1)  # in double precision: for a small kappa it cancels
    return ratio - q.angle.log_normalizer - q.concentration * q.angle.mean_versine


def log_area(dim: int) -> float:
    """Return the logarithm of the sphere's area 2 pi^(d/2) / Gamma(d/2) in d dimensions.

    >>> [round(math.exp(log_area(d)), 9) for d in (1, 2, 3)]
    [2.0, 6.283185307, 12.566370614]
    """
    return math.log(2) + dim / 2 * math.log(math.pi) - math.lgamma(dim / 2)


def unit_vectors(noise: Tensor) -> Tensor:
    """Normalise Gaussian noise (*batch, d) to uniformly distributed directions.

    torch's normal noise is exactly 0 once in 10^7 numbers, and a zero vector has no direction;
    hence the small constant.
    """
    noise = noise + 1e-15
    return noise / noise.norm(dim=-1, keepdim=True)


def _turned(x: Tensor, loc: Tensor) -> Tensor:
    """Apply to x (*sample, *batch, d) the Householder reflection that maps e_1 to mu.

    The reflection maps e_1 to whichever of mu and -mu is farther from it, and a sign corrects the
    result, so that nothing cancels.
    """
    sign = torch.where(loc[..., :1] < 0, -1.0, 1.0).to(loc.dtype)
    first = loc[..., :1] + sign
    axis = torch.cat([first, loc[..., 1:]], -1)
    along = (axis * x).sum(-1, keepdim=True) / (sign * first)
    return sign * (axis * along - x)
