"""Draws from q(z|x) for bounds, schemes and evaluations."""

from collections.abc import Callable
from functools import partial

from torch import Tensor
from torch.distributions import Distribution

from vi.distributions.datum_noise import keyed_draw
from vi.distributions.protocols import OnePass
from vi.errors import ConfigurationError

__all__ = ["Points"]


class Points:
    """Points whose weighted mean estimates E_q: draws, or the whole support of a discrete z.

    Args:
        z: Draws (K, B, *Z). For a support, which is the same for all data, (K, 1, *Z), so that a
            decoder evaluates each state once.
        density: Returns log q(z_k|x) in nats, (K, B).
        weights: None for draws, which have equal weights; q(z_k|x) for a support, (K, B).

    >>> import torch
    >>> at = Points(torch.zeros(3, 5, 2), lambda: torch.zeros(3, 5))
    >>> at.mean(torch.ones(3, 5))
    tensor([1., 1., 1., 1., 1.])
    """

    def __init__(
        self, z: Tensor, density: Callable[[], Tensor], weights: Tensor | None = None
    ) -> None:
        self.z, self.weights = z, weights
        self._density: Callable[[], Tensor] = density
        self._log_q: Tensor | None = None

    @property
    def log_q(self) -> Tensor:
        """log q(z_k|x) in nats, (K, B); computed on first use and then stored."""
        if self._log_q is None:
            self._log_q = self._density()
        return self._log_q

    def mean(self, values: Tensor) -> Tensor:
        """Return the estimate of E_q[f(z)], (B,).

        Args:
            values: f(z_k), (K, B).
        """
        if self.weights is not None:
            return (self.weights * values).sum(0)
        return values.squeeze(0) if len(values) == 1 else values.mean(0)


def draw(q: Distribution, num_samples: int, *, enumerate_support: bool = False) -> Points:
    """Draw z_k ~ q(z|x) with a pathwise gradient, or list the states of a discrete z.

    Inside ``datum_noise`` the noise of each datum depends on (seed, datum) only. A q without a
    pathwise gradient gives plain samples if log q does not require a gradient, as in an evaluation
    or while only theta is trained.

    Args:
        q: Distribution with batch_shape (B,) and event_shape (*Z).
        num_samples: K.
        enumerate_support: If q has an enumerable support, return all of its states with their
            probabilities as weights, so that E_q is exact.

    Raises:
        ConfigurationError: q has no ``rsample``, and log q requires a gradient.

    >>> import torch
    >>> from torch.distributions import Independent, Normal, OneHotCategorical
    >>> at = draw(Independent(Normal(torch.zeros(5, 2), 1.0), 1), num_samples=3)
    >>> at.z.shape, at.log_q.shape, at.weights
    (torch.Size([3, 5, 2]), torch.Size([3, 5]), None)
    >>> q = OneHotCategorical(probs=torch.tensor([[0.2, 0.8]]))
    >>> at = draw(q, num_samples=1, enumerate_support=True)
    >>> at.z.shape, at.weights.flatten()
    (torch.Size([2, 1, 2]), tensor([0.2000, 0.8000]))
    """
    if enumerate_support and q.has_enumerate_support:
        return _support(q)
    with keyed_draw(num_samples, q.batch_shape):
        if isinstance(q, OnePass):
            return Points(*q.rsample_and_density((num_samples,)))
        z = (q.rsample if q.has_rsample else q.sample)((num_samples,))
    return Points(z, partial(q.log_prob, z)) if q.has_rsample else without_gradient(q, z)


def _support(q: Distribution) -> Points:
    """Return every state of q, weighted by its probability."""
    z = q.enumerate_support(expand=False)
    log_q = q.log_prob(z)
    return Points(z, lambda: log_q, log_q.exp())


def without_gradient(q: Distribution, z: Tensor) -> Points:
    """Return draws of a q without ``rsample``, which are valid only without a gradient of q.

    Args:
        q: Distribution that z was drawn from.
        z: Draws, (K, B, *Z).

    Raises:
        ConfigurationError: log q(z) requires a gradient.
    """
    log_q = q.log_prob(z)
    if log_q.requires_grad:
        raise ConfigurationError(
            f"{type(q).__name__} has no reparameterised sample, and this bound needs one",
            hint="scheme=reweighted_wake_sleep needs none; bound=elbo sums over up to 1024 states "
            "of a discrete z (latent_dim=10 bits); posterior=relaxed_bernoulli, gumbel_softmax "
            "and diagonal_gaussian have one",
        )
    return Points(z, lambda: log_q)
