"""Data drawn from a known distribution, so that the best possible log-likelihood is known."""

import math
from abc import abstractmethod
from typing import Literal

import torch
from jaxtyping import Int64
from torch import Tensor
from torch.distributions import Categorical, Distribution, MixtureSameFamily, MultivariateNormal

from vi.data.base import DataSet, LoadedData
from vi.data.partition import generator
from vi.data.reading.memory import require_memory
from vi.data.source import Items, Source, assemble
from vi.errors import require_positive

_PARAMETERS, _TRAIN, _VAL, _TEST = range(4)  # purposes of streams of random numbers


class Synthetic(DataSet):
    """x ~ p(x) with p known.

    ``data/true_log_likelihood`` of the facts is the mean of log p(x) over the test split in nats,
    or of log p(x|label) if the labels are given to the model. No model can exceed it except by
    chance.

    Parameters and data are a function of ``truth_seed`` and the sizes, not of the run's seed. Each
    split has its own random stream, so that the test data do not change with ``n_train``.

    An implementer writes ``truth``, ``items`` and ``name``; ``num_classes`` if there are labels;
    and ``width``, the numbers stored for each datum, if there are more than two.

    Args:
        n_train: Number of training data.
        n_val: Number of validation data; 0 gives no validation split.
        n_test: Number of test data.
        truth_seed: Seed of the parameters and of the data.

    Raises:
        ConfigurationError: A split would be empty.
        DataError: The data do not fit into memory.
    """

    name: str
    num_classes: int = 0
    width: int = 2

    def __init__(self, n_train: int, n_val: int, n_test: int, truth_seed: int) -> None:
        require_positive("data.n_train", n_train)
        require_positive("data.n_val", n_val, -1)
        require_positive("data.n_test", n_test)
        self.n_train, self.n_val, self.n_test = n_train, n_val, n_test
        self.truth_seed = truth_seed

    @abstractmethod
    def truth(self, labels: Int64[Tensor, " N"] | None = None) -> Distribution:
        """Return p(x), in float64; with labels (N,), p(x|label) with batch_shape (N,)."""

    @abstractmethod
    def items(self, n: int, random: torch.Generator) -> Items:
        """Draw n data x ~ p(x) in float64, with labels if they are requested."""

    def load(self, seed: int = 0) -> LoadedData:
        """Draw the splits; ``seed`` has no effect."""
        del seed
        n = self.n_train + self.n_val + self.n_test
        hint = "lower data.n_train, data.n_val or data.n_test"
        require_memory(f"{n} data of {self.width} numbers", 8 * n * self.width, hint=hint)
        train, test = self._split(self.n_train, _TRAIN), self._split(self.n_test, _TEST)
        val = self._split(self.n_val, _VAL) if self.n_val else None
        facts = {
            "data/name": self.name,
            "data/split": f"drawn from the truth, truth_seed {self.truth_seed}",
            "data/true_log_likelihood": self._mean_log_prob(test),
        }
        return assemble(Source(train, val, test, num_classes=self.num_classes, facts=facts))

    def stream(self, purpose: int = _PARAMETERS) -> torch.Generator:
        """Return the random stream of one purpose; the default is that of the parameters."""
        return generator(self.truth_seed, purpose)

    def _split(self, n: int, purpose: int) -> Items:
        drawn = self.items(n, self.stream(purpose))
        return Items(drawn.stored.to(torch.get_default_dtype()), drawn.labels)

    def _mean_log_prob(self, items: Items) -> float:
        """Return the mean log p of items under the true distribution, in nats."""
        return self.truth(items.labels).log_prob(items.stored.double()).mean().item()


class LinearGaussianData(Synthetic):
    """x = W z + mu + s e with z ~ N(0, I), e ~ N(0, I), so x ~ N(mu, W W' + s^2 I): (D,).

    The entries of W (D, Z) and mu (D,) are standard normal. These are the assumptions of
    probabilistic PCA: Tipping & Bishop 1999, https://doi.org/10.1111/1467-9868.00196.

    Args:
        data_dim: D.
        latent_dim: Z.
        scale: s.
        n_train: Number of training data.
        n_val: Number of validation data; 0 gives no validation split.
        n_test: Number of test data.
        truth_seed: Seed of W, mu and the data.

    Raises:
        ConfigurationError: A size or the scale is not positive.

    >>> data = LinearGaussianData(n_train=50, n_val=10, n_test=20).load()
    >>> len(data.train), len(data.val), len(data.test), data.shape
    (50, 10, 20, (8,))
    """

    name = "linear_gaussian"

    def __init__(
        self,
        data_dim: int = 8,
        latent_dim: int = 3,
        scale: float = 0.5,
        n_train: int = 5000,
        n_val: int = 1000,
        n_test: int = 1000,
        truth_seed: int = 0,
    ) -> None:
        super().__init__(n_train, n_val, n_test, truth_seed)
        require_positive("data.data_dim", data_dim)
        require_positive("data.latent_dim", latent_dim)
        require_positive("data.scale", scale)
        numbers = data_dim * max(data_dim, latent_dim)
        require_memory(f"data.data_dim={data_dim}", 8 * numbers, hint="lower data.data_dim")
        self.scale, self.width = scale, data_dim
        random = self.stream()
        self.weight = _normal(data_dim, latent_dim, random=random)
        self.loc = _normal(data_dim, random=random)

    def truth(self, labels: Int64[Tensor, " N"] | None = None) -> MultivariateNormal:
        """Return N(mu, W W' + s^2 I)."""
        del labels
        noise = self.scale**2 * torch.eye(len(self.loc), dtype=torch.float64)
        return MultivariateNormal(self.loc, self.weight @ self.weight.mT + noise)

    def items(self, n: int, random: torch.Generator) -> Items:
        """Draw n data: first all z, then all e."""
        z = _normal(n, self.weight.shape[1], random=random)
        e = _normal(n, len(self.loc), random=random)
        return Items(z @ self.weight.mT + self.loc + self.scale * e)


class Mixture2D(Synthetic):
    """p(x) = sum_c pi_c N(x; mu_c, S_c) in the plane, (2,): clusters on a ring of radius 3.

    The weights are unequal: pi_c is proportional to a number between 1 and 3. The covariances are
    full: the axes of a cluster have standard deviations between 0.2 and 0.8 and a random
    direction.

    Args:
        num_clusters: Number of components.
        context: ``label`` gives the component as ``given["context"]``, one-hot.
        n_train: Number of training data.
        n_val: Number of validation data; 0 gives no validation split.
        n_test: Number of test data.
        truth_seed: Seed of the parameters and of the data.

    Raises:
        ConfigurationError: A size is not positive.

    >>> data = Mixture2D(context="label", n_train=50, n_val=0, n_test=20).load()
    >>> data.shape, data.context_dim, data.val
    ((2,), 5, None)
    """

    name = "mixture_2d"

    def __init__(
        self,
        num_clusters: int = 5,
        context: Literal["label"] | None = None,
        n_train: int = 5000,
        n_val: int = 1000,
        n_test: int = 1000,
        truth_seed: int = 0,
    ) -> None:
        super().__init__(n_train, n_val, n_test, truth_seed)
        require_positive("data.num_clusters", num_clusters)
        require_memory(f"{num_clusters} clusters", 64 * num_clusters, hint="data.num_clusters=5")
        self.num_classes = num_clusters if context else 0
        self.width = 2 * num_clusters
        random, turn = self.stream(), 2 * math.pi
        weights = _uniform(1.0, 3.0, num_clusters, random=random)
        self.weights = weights / weights.sum()
        first = _uniform(0.0, turn, 1, random=random)
        self.loc = 3.0 * _direction(first + torch.arange(num_clusters) * turn / num_clusters)
        axis = _direction(_uniform(0.0, turn, num_clusters, random=random))
        stddev = _uniform(0.2, 0.8, num_clusters, 2, random=random)
        # the columns of A are the axes of a cluster times its standard deviations: S = A A'
        across = torch.stack([-axis[:, 1], axis[:, 0]], dim=-1)
        self.factor = torch.stack([axis, across], dim=-1) * stddev[:, None]

    def truth(self, labels: Int64[Tensor, " N"] | None = None) -> Distribution:
        """Return the mixture, or with labels the component of each."""
        covariance = self.factor @ self.factor.mT
        if labels is not None:
            return MultivariateNormal(self.loc[labels], covariance[labels])
        components = MultivariateNormal(self.loc, covariance)
        return MixtureSameFamily(Categorical(self.weights), components)

    def items(self, n: int, random: torch.Generator) -> Items:
        """Draw n data: first all labels, then the position of each x in its cluster."""
        labels = torch.multinomial(self.weights, n, replacement=True, generator=random)
        e = _normal(n, 2, 1, random=random)
        x = self.loc[labels] + (self.factor[labels] @ e).squeeze(-1)
        return Items(x, labels if self.num_classes else None)


def _normal(*shape: int, random: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=random, dtype=torch.float64)


def _uniform(low: float, high: float, *shape: int, random: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=random, dtype=torch.float64)


def _direction(angle: Tensor) -> Tensor:
    """Return unit vectors in the plane, (*, 2)."""
    return torch.stack([angle.cos(), angle.sin()], dim=-1)
