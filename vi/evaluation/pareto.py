"""How heavy the tail of importance weights is: the shape of a generalised Pareto distribution."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

_PRIOR_SCALE, _PRIOR_DRAWS, _PRIOR_SHAPE = 3, 10, 0.5  # of Vehtari et al., against few draws


def tail_size(num_samples: int) -> int:
    """How many of K weights make the tail: min(K / 5, 3 sqrt(K)), rounded down.

    >>> tail_size(100), tail_size(5000)
    (20, 212)
    """
    return int(min(num_samples / 5, 3 * math.sqrt(num_samples)))


def pareto_k(largest: Float[Tensor, "M B"]) -> Float[Tensor, " B"]:
    """Shape k of the tail of the weights of each datum.

    Beyond the smallest of the weights given, the cutoff, their excesses follow a generalised
    Pareto distribution,

        P(w - u > t) = (1 + k t / sigma)^(-1/k),

    so that moments of the weights above the (1/k)-th are infinite. Where the largest weight equals
    the cutoff the weights are bounded, as those of few discrete states are, and k = 0.

    Args:
        largest: Log-weights of the tail and of the cutoff, in any order: ``tail_size(K)`` + 1.

    Returns:
        k, (B,); NaN for fewer than five weights.

    Reference: Zhang and Stephens, 2009, https://doi.org/10.1198/tech.2009.08017; Vehtari, Simpson,
    Gelman, Yao and Gabry, 2024, https://jmlr.org/papers/v25/19-556.html

    >>> quantiles = torch.arange(1, 201, dtype=torch.float64)[:, None] / 200
    >>> round(pareto_k(-0.4 * quantiles.log())[0].item(), 1)  # w ~ Pareto(1 / 0.4)
    0.4
    """
    if len(largest) < 5:
        return largest.new_full(largest.shape[1:], math.nan)
    log_w = largest.double().sort(0).values
    top = log_w[-1]
    excess = (log_w[1:] - top).exp() - (log_w[0] - top).exp()
    constant = excess[-1] <= 1e-12
    return torch.where(constant, 0.0, _shape(torch.where(constant, 1.0, excess)))


def _shape(excess: Float[Tensor, "N B"]) -> Float[Tensor, " B"]:
    """The posterior mean of k over a grid of k / sigma, after Zhang and Stephens.

    Excesses ascend, and the grid has 30 + sqrt(N) points.
    """
    n = len(excess)
    tiny = torch.finfo(excess.dtype).tiny
    quartile, greatest = excess[int(n / 4 + 0.5) - 1].clamp_min(tiny), excess[-1]
    points = 30 + math.isqrt(n)
    number = torch.arange(1, points + 1, dtype=excess.dtype, device=excess.device)[:, None]
    b = (1 - (points / (number - 0.5)).sqrt()) / (_PRIOR_SCALE * quartile) + 1 / greatest
    k = _mean_log1p(-b, excess)
    log_likelihood = n * ((-b / k).log() - k - 1)
    weight = log_likelihood.softmax(0)
    b = (b * weight).sum(0, keepdim=True)
    k = _mean_log1p(-b, excess)[0]
    return (n * k + _PRIOR_DRAWS * _PRIOR_SHAPE) / (n + _PRIOR_DRAWS)


def _mean_log1p(b: Float[Tensor, "G B"], excess: Float[Tensor, "N B"]) -> Float[Tensor, "G B"]:
    """mean_n log(1 + b excess_n), one point of the grid after the other."""
    return torch.stack([torch.log1p(row * excess).mean(0) for row in b])
