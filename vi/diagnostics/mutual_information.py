"""How many nats the latent carries about the datum."""

import torch
from torch import Tensor

from vi.distributions.draw import draw
from vi.math import log_mean_exp
from vi.models.base import LatentVariableModel


@torch.no_grad()
def mutual_information(
    model: LatentVariableModel, x: Tensor, num_samples: int = 1, **given: Tensor
) -> float:
    """I_q(x; z) = E[log q(z|x) - log q(z)] in nats, with q(z) = (1/N) sum_n q(z|x_n).

    The mixture runs over the same N data, so that it is at most log N.

    Reference: Hoffman and Johnson, 2016; He et al., 2019, https://arxiv.org/abs/1901.05534
    """
    q = model.posterior(x, **given)
    at = draw(q, num_samples)
    log_mixture = log_mean_exp(q.log_prob(at.z.unsqueeze(2)), 2)
    return (at.log_q - log_mixture).mean().item()
