"""Synthetic bits with few latent bits, so that p(x) is a sum."""

import math

import torch
from jaxtyping import Int64
from torch import Tensor
from torch.distributions import Distribution
from torch.nn.functional import logsigmoid

from vi.data.reading.memory import require_memory
from vi.data.source import Items
from vi.data.synthetic import Synthetic
from vi.errors import ConfigurationError, require_positive

_LARGEST = 12  # 4096 states


class BinaryLatentData(Synthetic):
    """x_d ~ Bernoulli(sigmoid(W z + b)_d) with bits z_j ~ Bernoulli(r): bits (D,).

    The entries of W (D, Z) are N(0, s^2), and b = -W r, so that the bits are nearly balanced. The
    model is a sigmoid belief network with one layer: Neal 1992,
    https://doi.org/10.1016/0004-3702(92)90065-6. p(x) = sum_z p(z) p(x|z) is a sum over 2^Z
    states.

    Args:
        data_dim: D.
        latent_dim: Z, at most 12.
        scale: s.
        probability: r.
        n_train: Number of training data.
        n_val: Number of validation data; 0 gives no validation split.
        n_test: Number of test data.
        truth_seed: Seed of W and of the data.

    Raises:
        ConfigurationError: A size or the scale is not positive, there are too many states to sum
            over, or the probability is not between 0 and 1.

    >>> data = BinaryLatentData(n_train=50, n_val=10, n_test=20).load()
    >>> len(data.train), len(data.val), len(data.test), data.shape
    (50, 10, 20, (16,))
    """

    name = "binary_latent"

    def __init__(
        self,
        data_dim: int = 16,
        latent_dim: int = 5,
        scale: float = 2.0,
        probability: float = 0.5,
        n_train: int = 5000,
        n_val: int = 1000,
        n_test: int = 1000,
        truth_seed: int = 0,
    ) -> None:
        super().__init__(n_train, n_val, n_test, truth_seed)
        require_positive("data.data_dim", data_dim)
        require_positive("data.latent_dim", latent_dim)
        require_positive("data.scale", scale)
        if latent_dim > _LARGEST:
            raise ConfigurationError(
                f"data.latent_dim must be at most {_LARGEST}, got {latent_dim}: p(x) is a sum "
                "over all states",
                hint=f"data.latent_dim={_LARGEST} has {2**_LARGEST} states",
            )
        if not 0 < probability < 1:
            raise ConfigurationError(
                f"data.probability must be between 0 and 1, got {probability}",
                hint="data.probability=0.5",
            )
        numbers = data_dim * 2**latent_dim
        require_memory(f"data.data_dim={data_dim}", 8 * numbers, hint="lower data.data_dim")
        self.probability, self.width = probability, data_dim + 2**latent_dim
        shape = (data_dim, latent_dim)
        self.weight = scale * torch.randn(shape, generator=self.stream(), dtype=torch.float64)
        self.bias = -probability * self.weight.sum(1)

    def truth(self, labels: Int64[Tensor, " N"] | None = None) -> Distribution:
        """Return p(x) as the sum over all states of z."""
        del labels
        return _BitsFromStates(self._log_prior(self.states), self._logits(self.states))

    @property
    def states(self) -> Tensor:
        """All states of z, (2^Z, Z)."""
        bits = 2 ** torch.arange(self.weight.shape[1])
        return (torch.arange(2 ** len(bits))[:, None] & bits).ne(0).double()

    def items(self, n: int, random: torch.Generator) -> Items:
        """Draw n data: first all z, then all x."""
        u = torch.rand(n, self.weight.shape[1], generator=random, dtype=torch.float64)
        logits = self._logits((u < self.probability).double())
        v = torch.rand(logits.shape, generator=random, dtype=torch.float64)
        return Items((v < logits.sigmoid()).double())

    def _logits(self, z: Tensor) -> Tensor:
        """Return the logits of x given z, (.., D)."""
        return z @ self.weight.mT + self.bias

    def _log_prior(self, z: Tensor) -> Tensor:
        """Return log p(z) in nats."""
        on = z.sum(-1)
        r = self.probability
        return on * math.log(r) + (z.shape[-1] - on) * math.log1p(-r)


class _BitsFromStates(Distribution):
    """p(x) = sum_s p(z_s) prod_d p(x_d|z_s), for bits x (D,).

    Args:
        log_prior: log p(z_s) in nats, (S,).
        logits: Logits of the bits in every state, (S, D).
    """

    arg_constraints = {}  # pyright: ignore

    def __init__(self, log_prior: Tensor, logits: Tensor) -> None:
        super().__init__(event_shape=logits.shape[1:], validate_args=False)
        self.log_prior, self.logits = log_prior, logits

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p(x) in nats.

        log p(x|z) = sum_d x_d l_d - log(1 + exp l_d) is computed as a matrix product.
        """
        log_p = value @ self.logits.mT + logsigmoid(-self.logits).sum(-1)
        return (self.log_prior + log_p).logsumexp(-1)
