"""Imputation: E[x_missing | x_observed] and log p(x_held_out | x_observed)."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vi.distributions.datum_noise import groups_of_rows
from vi.distributions.draw import draw
from vi.distributions.observed import Observed
from vi.errors import require_positive
from vi.evaluation.log_likelihood import DATA_AT_ONCE, chunks
from vi.fast import session
from vi.inputs import admitting
from vi.models.base import LatentVariableModel
from vi.progress import watched

__all__ = ["Imputed"]

_ROUNDING = 1e-14  # relative rounding error of a difference of sums in double precision


class Imputed(NamedTuple):
    """Estimates for the missing entries of each datum.

    ``x`` is E[x|x_observed] at missing entries and the datum itself elsewhere. ``log_likelihood``
    estimates log p(x_held_out|x_observed) in nats; it is 0 if nothing is held out. It is a
    difference of two logarithms of means, each biased downwards, and ``standard_error`` is the
    standard error of the difference. ``effective_sample_size`` belongs to the weights behind
    ``x``.
    """

    x: Float[Tensor, " B *event"]
    log_likelihood: Float[Tensor, " B"]
    standard_error: Float[Tensor, " B"]
    effective_sample_size: Float[Tensor, " B"]


@admitting
@torch.no_grad()
def impute(
    model: LatentVariableModel,
    x: Tensor,
    num_samples: int = 1000,
    *,
    observed: Bool[Tensor, " B *event"],
    held_out: Bool[Tensor, " B *event"] | None = None,
    **given: Tensor,
) -> Imputed:
    """Estimate missing entries by self-normalised importance weights over z ~ q(z|x_observed).

    With w_k = p(x_observed, z_k) / q(z_k|x_observed),

        E[x|x_observed] = sum_k w_k E[x|z_k] / sum_k w_k
        p(x_held_out|x_observed) = sum_k w_k p(x_held_out|z_k) / sum_k w_k

    Data and samples are processed in blocks, so the memory does not grow with their number.

    Args:
        model: Gives p(z), p(x|z) with entries that are independent given z, and q(z|x_observed).
        x: Data (B, *event); a missing entry that is not held out may contain anything.
        num_samples: K, the number of draws for each datum.
        observed: True where the model may read x.
        held_out: True where x contains the true value of a missing entry; nowhere if not given.
        **given: What else the model conditions on.

    Returns:
        The imputed data (B, *event) and three columns (B,), see ``Imputed``.

    Raises:
        ConfigurationError: ``num_samples`` is not positive, or the entries of x are not
            independent given z.
        DataError: There are no data, or the model cannot take them.

    Reference: Mattei and Frellsen, 2019, https://arxiv.org/abs/1812.02633
    """
    require_positive("num_samples", num_samples)
    truth = torch.zeros_like(observed) if held_out is None else held_out & ~observed
    groups = []
    with session(None, model):
        for rows in groups_of_rows(len(x), DATA_AT_ONCE):
            of_group = x[rows], num_samples, observed[rows], truth[rows]
            groups.append(_impute(model, *of_group, **{k: v[rows] for k, v in given.items()}))
    return Imputed(*(torch.cat(parts) for parts in zip(*groups, strict=True)))


def _impute(
    model: LatentVariableModel,
    x: Tensor,
    num_samples: int,
    observed: Tensor,
    held_out: Tensor,
    **given: Tensor,
) -> Imputed:
    """Impute one block of data, drawing K samples in chunks."""
    q = model.posterior(x, observed=observed, **given)
    sums: list[Tensor] = []
    means: list[Tensor] = []
    for size in watched(list(chunks(num_samples, x))):
        at = draw(q, size)
        p = model.likelihood(at.z, **given)
        log_w = Observed(p, observed).log_prob(x) + model.prior(**given).log_prob(at.z) - at.log_q
        log_v = log_w + Observed(p, held_out).log_prob(x)
        sums.append(_log_sums(log_w.double(), log_v.double()))
        means.append(_weighted(log_w.softmax(0), p.mean))
    parts = torch.stack(sums)
    w, v, ww, vv, wv = parts.logsumexp(0)
    mean = _weighted(parts[:, 0].softmax(0), torch.stack(means))
    # a_k = w_k / sum w and b_k = v_k / sum v: log sum v - log sum w varies by sum_k (b_k - a_k)^2
    squares, product = (ww - 2 * w).exp() + (vv - 2 * v).exp(), (wv - w - v).exp()
    variance = squares - 2 * product
    error = variance.where(variance > _ROUNDING * squares, 0).sqrt()
    return Imputed(x.where(observed, mean), v - w, error, (2 * w - ww).exp())


def _log_sums(log_w: Tensor, log_v: Tensor) -> Tensor:
    """Return the log of the sums over K of w, v, w^2, v^2 and w v, (5, B)."""
    terms = (log_w, log_v, 2 * log_w, 2 * log_v, log_w + log_v)
    return torch.stack([term.logsumexp(0) for term in terms])


def _weighted(weights: Tensor, values: Tensor) -> Tensor:
    """Return sum_k weights_kb values_kb..., from (K, B) and (K, B, *event)."""
    return torch.einsum("kb,kb...->b...", weights.to(values.dtype), values)
