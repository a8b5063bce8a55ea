"""The mutual information between datum and latent under q."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.distributions import Distribution

from vi.distributions.draw import draw
from vi.models.base import LatentVariableModel

_ENTRIES = 1 << 20  # most numbers in a block of pairs of data; layers make far more of them


@torch.no_grad()
def mutual_information(
    model: LatentVariableModel, x: Tensor, num_samples: int = 1, **given: Tensor
) -> float:
    """Return I_q(x; z) = E[log q(z|x) - log q(z)] in nats, with q(z) = (1/N) sum_n q(z|x_n).

    The mixture runs over the N data given, so the estimate is at most log N. Of the mutual
    information over all data it is a lower bound (see ``information``).

    Args:
        model: Model with q(z|x).
        x: Data, (N, *event).
        num_samples: K, the number of draws per datum.
        **given: Variables that the model conditions on, (N, ..).

    Reference: Hoffman and Johnson, 2016; He et al., 2019, https://arxiv.org/abs/1901.05534

    >>> import vi
    >>> parts = vi.DiagonalGaussian(2), vi.StandardNormal(2), vi.Bernoulli()
    >>> model = vi.VAE((6,), vi.MLP([8]), vi.MLP([8]), *parts)
    >>> mutual_information(model, torch.ones(1, 6))  # at most log 1
    0.0
    """
    q = model.posterior(x, **given)
    at = draw(q, num_samples)
    return information(q, at.z, at.log_q).lower.mean().item()


class Information(NamedTuple):
    """Terms of both bounds of I_q(x; z) = E[log q(z|x) - log q(z)] in nats, the mean over draws.

    With q(z) estimated by a mixture over N data,

        lower_n = log q(z_n|x_n) - log (1/N) sum_m q(z_n|x_m),
        upper_n = log q(z_n|x_n) - log (1/(N-1)) sum_(m != n) q(z_n|x_m).

    Their means bound the mutual information in expectation; the lower one is at most log N.
    ``upper`` is NaN for one datum.

    Reference: Poole, Ozair, van den Oord, Alemi and Tucker, 2019,
    https://arxiv.org/abs/1905.06922, equations 12 and 13
    """

    lower: Float64[Tensor, " N"]
    upper: Float64[Tensor, " N"]


@torch.no_grad()
def information(
    q: Distribution, z: Float[Tensor, "K N *Z"], log_q: Float[Tensor, "K N"]
) -> Information:
    """Return the terms of the bounds of I_q(x; z) for every datum.

    Args:
        q: q(z|x) of N data, batch_shape (N,).
        z: K draws from each q(z|x_n).
        log_q: log q(z_kn|x_n) in nats.

    >>> from torch.distributions import Independent, Normal
    >>> q = Independent(Normal(torch.tensor([[-9.0], [9.0]]), 1.0), 1)
    >>> z = torch.tensor([[[-9.0], [9.0]]])
    >>> information(q, z, q.log_prob(z)).lower  # z tells which of the two x it was: log 2
    tensor([0.6931, 0.6931], dtype=torch.float64)
    """
    own, n = log_q.double(), q.batch_shape[0]
    width = z.shape[0] * n * max(1, math.prod(z.shape[2:]))
    blocks = torch.arange(n, device=z.device).split(max(1, _ENTRIES // width))
    sums = zip(*(_log_sums(q, z[:, rows], own[:, rows], rows) for rows in blocks), strict=True)
    whole, others = (torch.cat(parts, 1) for parts in sums)
    rest = math.log(n - 1) if n > 1 else math.nan
    return Information((own - whole).mean(0) + math.log(n), (own - others).mean(0) + rest)


def _log_sums(q: Distribution, z: Tensor, own: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return log sum_m q(z_n|x_m) of these rows n: over all m, and over m != n."""
    log_q = q.log_prob(z.unsqueeze(2)).double()  # (K, rows, N)
    place = rows.view(1, -1, 1).expand(len(z), -1, 1)
    log_q = log_q.scatter(2, place, own[..., None])  # with the digits of the draws
    others = log_q.scatter(2, place, -math.inf)
    return log_q.logsumexp(2), others.logsumexp(2)
