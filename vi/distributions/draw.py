"""How a bound draws from q(z|x)."""

from typing import NamedTuple

from torch import Tensor
from torch.distributions import Distribution

from vi.distributions.datum_noise import keyed_draw
from vi.errors import ConfigurationError


def draw(q: Distribution, num_samples: int) -> tuple[Tensor, Tensor]:
    """z_k ~ q(z|x) with a pathwise gradient, and log q(z_k|x).

    Uses ``rsample_and_log_prob`` where a distribution offers it (one pass instead of two). Inside
    ``datum_noise`` the noise of each datum depends on (seed, datum) only. A q without a pathwise
    gradient gives plain samples where nobody asks for its gradient: in an evaluation, or while
    theta alone is trained.

    Args:
        q: Distribution with batch_shape (B,) and event_shape (*Z).
        num_samples: K.

    Returns:
        z (K, B, *Z) and log q (K, B) in nats.

    Raises:
        ConfigurationError: q has no ``rsample``, and its gradient is asked for.

    >>> import torch
    >>> from torch.distributions import Independent, Normal
    >>> z, log_q = draw(Independent(Normal(torch.zeros(5, 2), 1.0), 1), num_samples=3)
    >>> z.shape, log_q.shape
    (torch.Size([3, 5, 2]), torch.Size([3, 5]))
    """
    with keyed_draw(num_samples, q.batch_shape):
        if hasattr(q, "rsample_and_log_prob"):
            return q.rsample_and_log_prob((num_samples,))  # pyright: ignore
        z = (q.rsample if q.has_rsample else q.sample)((num_samples,))
    log_q = q.log_prob(z)
    if not q.has_rsample and log_q.requires_grad:
        raise ConfigurationError(
            f"{type(q).__name__} has no reparameterised sample, and this bound needs one",
            hint="scheme=reweighted_wake_sleep needs none; bound=elbo sums over up to 1024 states "
            "of a discrete z (latent_dim=10 bits); posterior=relaxed_bernoulli, gumbel_softmax "
            "and diagonal_gaussian have one",
        )
    return z, log_q


class Points(NamedTuple):
    """Points whose weighted mean stands for E_q: draws, or the whole support of a discrete z.

    ``weights`` is None for draws, which count alike, and q(z) (K, B) for a support, whose z is the
    same for all data, (K, 1, *Z): a decoder sees each state once.
    """

    z: Tensor
    weights: Tensor | None = None

    def mean(self, values: Tensor) -> Tensor:
        """E_q[f(z)] (B,) from the values f(z_k) (K, B)."""
        if self.weights is not None:
            return (self.weights * values).sum(0)
        return values.squeeze(0) if len(values) == 1 else values.mean(0)


def points(q: Distribution, num_samples: int) -> Points:
    """What E_q is taken over: the support of a discrete z, without error; else K draws.

    Raises:
        ConfigurationError: See ``draw``.

    >>> import torch
    >>> from torch.distributions import OneHotCategorical
    >>> z, weights = points(OneHotCategorical(probs=torch.tensor([[0.2, 0.8]])), num_samples=1)
    >>> z.shape, weights.flatten()
    (torch.Size([2, 1, 2]), tensor([0.2000, 0.8000]))
    """
    if q.has_enumerate_support:
        z = q.enumerate_support(expand=False)
        return Points(z, q.log_prob(z).exp())
    if q.has_rsample:
        with keyed_draw(num_samples, q.batch_shape):
            return Points(q.rsample((num_samples,)))
    return Points(draw(q, num_samples)[0])


def points_and_log_prob(q: Distribution, num_samples: int) -> tuple[Points, Tensor]:
    """The same with log q(z_k|x), (K, B).

    Raises:
        ConfigurationError: See ``draw``.
    """
    if q.has_enumerate_support:
        z = q.enumerate_support(expand=False)
        log_q = q.log_prob(z)
        return Points(z, log_q.exp()), log_q
    z, log_q = draw(q, num_samples)
    return Points(z), log_q
