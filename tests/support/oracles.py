"""Models whose evidence is known, and draws that replace chance by exact sums."""

import math
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn
from torch.distributions import (
    Bernoulli,
    Distribution,
    Independent,
    MultivariateNormal,
    Normal,
    constraints,
    kl_divergence,
    register_kl,
)

from vi.distributions.conditional import ConditionalDistribution, Shape
from vi.models.base import LatentVariableModel
from vi.models.vae import VAE

Infer = Callable[["LinearGaussian", Tensor], Distribution]


class LinearGaussian(LatentVariableModel):
    """p(z) = N(0, I), p(x|z) = N(W z + mu, s^2 I): posterior and evidence in closed form.

    Args:
        weight: W, (D, Z).
        loc: mu, (D,).
        scale: s.
        infer: (model, x) -> q(z|x); the exact posterior if not given.
        prior: N(0, I) as a full-covariance Gaussian if not given; a factorised q needs a
            factorised one for its KL.
    """

    def __init__(
        self,
        weight: Tensor,
        loc: Tensor,
        scale: float,
        infer: Infer | None = None,
        prior: Distribution | None = None,
    ) -> None:
        super().__init__()
        self.weight, self.loc = nn.Parameter(weight), nn.Parameter(loc)
        self.log_scale = nn.Parameter(weight.new_tensor(math.log(scale)))
        self.infer = infer or LinearGaussian.exact_posterior
        identity = torch.eye(weight.shape[1], dtype=weight.dtype)
        self.given_prior = prior or MultivariateNormal(identity[0] * 0, identity)
        self.data_shape = tuple(loc.shape)

    @classmethod
    def random(
        cls,
        data_dim: int = 8,
        latent_dim: int = 3,
        infer: Infer | None = None,
        prior: Distribution | None = None,
    ) -> Self:
        """With W and mu from the current random state, and s = 0.7."""
        return cls(torch.randn(data_dim, latent_dim), torch.randn(data_dim), 0.7, infer, prior)

    def prior(self, **given: Tensor) -> Distribution:
        return self.given_prior

    def likelihood(self, z: Tensor, **given: Tensor) -> Distribution:
        loc = z @ self.weight.mT + self.loc
        return Independent(Normal(loc, self.log_scale.exp()), 1)

    def posterior(self, x: Tensor, **given: Tensor) -> Distribution:
        return self.infer(self, x)

    def exact_posterior(self, x: Tensor) -> MultivariateNormal:
        """p(z|x) = N(M^-1 W'(x - mu) / s^2, M^-1), with M = I + W'W / s^2."""
        variance = (2 * self.log_scale).exp()
        identity = torch.eye(self.weight.shape[1], dtype=self.weight.dtype)
        covariance = (identity + self.weight.mT @ self.weight / variance).inverse()
        mean = (x - self.loc) @ self.weight @ covariance / variance
        return MultivariateNormal(mean, covariance)

    def log_evidence(self, x: Tensor) -> Tensor:
        """log p(x) = log N(x; mu, W W' + s^2 I)."""
        identity = torch.eye(len(self.loc), dtype=self.loc.dtype)
        covariance = self.weight @ self.weight.mT + (2 * self.log_scale).exp() * identity
        return MultivariateNormal(self.loc, covariance).log_prob(x)

    def gap(self, x: Tensor) -> Tensor:
        """KL(q(z|x) || p(z|x)) for a Gaussian q."""
        return kl_divergence(_full(self.posterior(x)), self.exact_posterior(x))

    def exact_elbo(self, x: Tensor) -> Tensor:
        """log p(x) - KL(q || p(z|x))."""
        return self.log_evidence(x) - self.gap(x)


def _full(q: Distribution) -> MultivariateNormal:
    if isinstance(q, MultivariateNormal):
        return MultivariateNormal(q.loc, scale_tril=q.scale_tril)
    return MultivariateNormal(q.mean, scale_tril=q.stddev.diag_embed())


def inflated(factor: float) -> Infer:
    """The q with the mean of the exact posterior and a multiple of its standard deviations."""

    def infer(model: LinearGaussian, x: Tensor) -> Distribution:
        exact = model.exact_posterior(x)
        return MultivariateNormal(exact.loc, scale_tril=factor * exact.scale_tril)

    return infer


def exact_diagonal(model: LinearGaussian, x: Tensor) -> Distribution:
    """The exact posterior as a factorised Gaussian: true where the columns of W are orthogonal."""
    exact = model.exact_posterior(x)
    return Independent(Normal(exact.mean, exact.stddev), 1)


def tipping_bishop(x: Tensor, latent_dim: int) -> Tensor:
    """The greatest mean log p(x) of any PPCA, in nats per datum.

    -1/2 [D log 2 pi + sum_{i<=Z} log l_i + (D - Z) log s^2 + D], with l_i the eigenvalues of the
    (1/N) covariance and s^2 the mean of the last D - Z of them (Tipping and Bishop, 1999).
    """
    d = x.shape[1]
    eigenvalues = torch.linalg.eigvalsh((x - x.mean(0)).mT @ (x - x.mean(0)) / len(x)).flip(0)
    kept, dropped = eigenvalues[:latent_dim], eigenvalues[latent_dim:]
    log_det = kept.log().sum() + (d - latent_dim) * dropped.mean().log()
    return -0.5 * (d * math.log(2 * math.pi) + log_det + d)


class SigmaPoints(MultivariateNormal):
    """A Gaussian whose 2 Z draws are mean +- sqrt(Z) L e_i: their mean is exact for quadratics."""

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        noise = sigma_noise(self.event_shape[0]).to(self.loc)
        assert tuple(sample_shape) == (len(noise),), "the sigma points are drawn all at once"
        return self.loc + (self.scale_tril @ noise[..., None]).squeeze(-1)


def sigma_noise(latent_dim: int) -> Tensor:
    """(2 Z, 1, Z): the standardised sigma points."""
    points = math.sqrt(latent_dim) * torch.eye(latent_dim)
    return torch.cat([points, -points])[:, None]


class FixedNoise(Independent):
    """A factorised Gaussian whose draws are loc + scale * noise, for a given noise (K, B, Z)."""

    def __init__(self, loc: Tensor, scale: Tensor, noise: Tensor) -> None:
        super().__init__(Normal(loc, scale), 1)
        self.noise = noise

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        (size,) = sample_shape
        assert size <= len(self.noise), "at most as many draws as there is noise"
        return self.base_dist.loc + self.base_dist.scale * self.noise[:size]


class FixedNoiseHead(ConditionalDistribution):
    """A Gaussian head (mu, log sigma) with noise that is not random."""

    support = constraints.real

    def __init__(self, latent_dim: int, noise: Tensor) -> None:
        super().__init__((latent_dim,))
        self.noise = noise

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        return (self.event_shape, self.event_shape)

    def forward(self, params: Tensor) -> Distribution:
        loc, log_scale = params.chunk(2, dim=-1)
        return FixedNoise(loc, log_scale.exp(), self.noise)


def fix_noise(model: VAE, noise: Tensor) -> VAE:
    """The same model, with a diagonal Gaussian q whose draws use this noise (K, B, Z)."""
    model.inference.head = FixedNoiseHead(model.inference.head.event_shape[0], noise)
    return model


class Atoms(Distribution):
    """A distribution on S given points.

    Args:
        atoms: (S, Z).
        logits: (*batch, S), normalised here.
    """

    arg_constraints = {}
    support = constraints.real_vector

    def __init__(self, atoms: Tensor, logits: Tensor) -> None:
        super().__init__(logits.shape[:-1], atoms.shape[1:], validate_args=False)
        self.atoms = atoms
        self.logits = logits.log_softmax(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        which = (value[..., None, :] == self.atoms).all(-1).double().argmax(-1)
        logits = self.logits.expand(*which.shape, len(self.atoms))
        return logits.gather(-1, which[..., None]).squeeze(-1)

    def entropy(self) -> Tensor:
        return -(self.logits.exp() * self.logits).sum(-1)


class CountedAtoms(Atoms):
    """Probabilities n_s / M with integers n_s: M draws list every atom n_s times.

    The mean over these draws is the expectation under q, without error.

    Args:
        atoms: (S, Z).
        counts: n, (B, S), at least 1, with rows that add up to M.
    """

    has_rsample = True

    def __init__(self, atoms: Tensor, counts: Tensor) -> None:
        super().__init__(atoms, counts.to(atoms.dtype).log())
        self.counts = counts

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        listed = torch.stack([self.atoms.repeat_interleave(n, 0) for n in self.counts], dim=1)
        assert tuple(sample_shape) == listed.shape[:1], "the atoms are listed all at once"
        return listed


@register_kl(Atoms, Atoms)
def _kl_atoms(q: Atoms, p: Atoms) -> Tensor:
    return (q.logits.exp() * (q.logits - p.logits)).sum(-1)


class Enumerable(LatentVariableModel):
    """z on S atoms: log p(x) is a sum of S terms.

    Args:
        atoms: (S, Z).
        prior_logits: (S,).
        decode: z -> p(x|z).
        counts: Of q(z|x) for each datum, (B, S).
        data_shape: Event shape of x.
    """

    def __init__(
        self,
        atoms: Tensor,
        prior_logits: Tensor,
        decode: Callable[[Tensor], Distribution],
        counts: Tensor,
        data_shape: Shape,
    ) -> None:
        super().__init__()
        self.atoms, self.prior_logits, self.counts = atoms, prior_logits, counts
        self.decode, self.data_shape = decode, data_shape

    def prior(self, **given: Tensor) -> Distribution:
        return Atoms(self.atoms, self.prior_logits)

    def likelihood(self, z: Tensor, **given: Tensor) -> Distribution:
        return self.decode(z)

    def posterior(self, x: Tensor, **given: Tensor) -> Distribution:
        return CountedAtoms(self.atoms, self.counts)

    def log_joint_table(self, x: Tensor) -> Tensor:
        """log p(x, z = atom s), (B, S), one atom after the other."""
        log_prior = self.prior_logits - self.prior_logits.logsumexp(0)
        columns = [
            self.decode(atom.expand(len(x), -1)).log_prob(x) + log_prior[s]
            for s, atom in enumerate(self.atoms)
        ]
        return torch.stack(columns, dim=-1)

    def log_evidence(self, x: Tensor) -> Tensor:
        return self.log_joint_table(x).logsumexp(-1)

    def gap(self, x: Tensor) -> Tensor:
        """KL(q(z|x) || p(z|x)) as a sum over the atoms."""
        log_posterior = self.log_joint_table(x).log_softmax(-1)
        q = self.counts / self.counts.sum(-1, keepdim=True)
        return (q * (q.log() - log_posterior)).sum(-1)


def three_bits(num_data: int) -> tuple[Enumerable, Tensor]:
    """A latent of three bits under six visible ones, and data."""
    bits = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)
    weight, bias = 2 * torch.randn(6, 3), torch.randn(6)
    decode = lambda z: Independent(Bernoulli(logits=z @ weight.mT + bias), 1)
    model = Enumerable(bits, torch.randn(8), decode, _counts(num_data, 8, 20), (6,))
    return model, torch.randint(0, 2, (num_data, 6)).to(bits)


def five_gaussians(num_data: int) -> tuple[Enumerable, Tensor]:
    """A mixture of five Gaussians in the plane, and data."""
    loc, scale = 3 * torch.randn(5, 2), torch.rand(5, 2) + 0.2
    decode = lambda z: Independent(Normal(z @ loc, z @ scale), 1)
    model = Enumerable(torch.eye(5), torch.randn(5), decode, _counts(num_data, 5, 16), (2,))
    return model, 3 * torch.randn(num_data, 2)


def _counts(num_data: int, num_atoms: int, total: int) -> Tensor:
    """Random integers >= 1, (num_data, num_atoms), with rows that add up to the total."""
    extra = torch.randint(0, num_atoms, (num_data, total - num_atoms))
    return 1 + nn.functional.one_hot(extra, num_atoms).sum(1)


def standard_error(x: Tensor) -> Tensor:
    """Of the mean over the first axis."""
    return x.std(0) / math.sqrt(len(x))


def hermite(num_nodes: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights of E f(e), e ~ N(0, 1)."""
    from numpy.polynomial.hermite_e import hermegauss

    nodes, weights = hermegauss(num_nodes)
    return torch.tensor(nodes), torch.tensor(weights) / math.sqrt(2 * math.pi)
