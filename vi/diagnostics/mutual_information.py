"""The mutual information between datum and latent under q."""

import torch
from torch import Tensor

from vi.distributions.draw import draw
from vi.math import log_mean_exp
from vi.models.base import LatentVariableModel


@torch.no_grad()
def mutual_information(
    model: LatentVariableModel, x: Tensor, num_samples: int = 1, **given: Tensor
) -> float:
    """Return I_q(x; z) = E[log q(z|x) - log q(z)] in nats, with q(z) = (1/N) sum_n q(z|x_n).

    The mixture runs over the N data given, so the estimate is at most log N.

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
    log_mixture = log_mean_exp(q.log_prob(at.z.unsqueeze(2)), 2)
    return (at.log_q - log_mixture).mean().item()
