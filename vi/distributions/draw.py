"""How a bound draws from q(z|x)."""

from torch import Tensor
from torch.distributions import Distribution

from vi.distributions.datum_noise import keyed_draw
from vi.errors import ConfigurationError


def draw(q: Distribution, num_samples: int) -> tuple[Tensor, Tensor]:
    """z_k ~ q(z|x) with a pathwise gradient, and log q(z_k|x).

    Uses ``rsample_and_log_prob`` where a distribution offers it (one pass instead of two). Inside
    ``datum_noise`` the noise of each datum depends on (seed, datum) only.

    Args:
        q: Distribution with batch_shape (B,) and event_shape (*Z).
        num_samples: K.

    Returns:
        z (K, B, *Z) and log q (K, B) in nats.

    Raises:
        ConfigurationError: q has no ``rsample``.

    >>> import torch
    >>> from torch.distributions import Independent, Normal
    >>> z, log_q = draw(Independent(Normal(torch.zeros(5, 2), 1.0), 1), num_samples=3)
    >>> z.shape, log_q.shape
    (torch.Size([3, 5, 2]), torch.Size([3, 5]))
    """
    _require_rsample(q)
    with keyed_draw(num_samples, q.batch_shape):
        if hasattr(q, "rsample_and_log_prob"):
            return q.rsample_and_log_prob((num_samples,))  # pyright: ignore
        z = q.rsample((num_samples,))
    return z, q.log_prob(z)


def draw_only(q: Distribution, num_samples: int) -> Tensor:
    """The z of ``draw``, where log q(z|x) is not needed because a closed form stands for it."""
    _require_rsample(q)
    with keyed_draw(num_samples, q.batch_shape):
        return q.rsample((num_samples,))


def _require_rsample(q: Distribution) -> None:
    if not q.has_rsample:
        raise ConfigurationError(
            f"{type(q).__name__} has no reparameterised sample, and this bound needs one",
            hint="choose a continuous posterior, such as posterior=diagonal_gaussian",
        )
