"""How many nats each layer of latents carries."""

import torch
from jaxtyping import Float
from torch import Tensor

from vi.distributions.chain import Chain
from vi.distributions.draw import draw
from vi.errors import ConfigurationError
from vi.models.base import LatentVariableModel


@torch.no_grad()
def kl_per_layer(
    model: LatentVariableModel, x: Tensor, num_samples: int = 1, **given: Tensor
) -> Float[Tensor, " L"]:
    """Mean over the batch of E_q[log q(z_l| ..) - log p(z_l| ..)] in nats, by Monte Carlo.

    Each is given the layers before it in the order of its own distribution; they add up to the KL.
    A layer of q and of p with the same order cannot be negative in expectation; with opposite
    orders it can.

    Raises:
        ConfigurationError: q or p has no layers.
    """
    q, p = model.posterior(x, **given), model.prior(**given)
    if not (isinstance(q, Chain) and isinstance(p, Chain)):
        raise ConfigurationError(
            f"{type(q).__name__} and {type(p).__name__} are not both made of layers",
            hint="posterior=chain prior=chain, or model=ladder",
        )
    z = draw(q, num_samples).z
    return (q.log_prob_layers(z) - p.log_prob_layers(z)).mean((1, 2))
