"""The KL of each latent layer."""

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
    """Return the mean over the batch of E_q[log q(z_l| ..) - log p(z_l| ..)] in nats, (L,).

    Each distribution conditions z_l on the layers before it in its own order; the layers add up to
    the KL, which is estimated by Monte Carlo. If q and p have the same order, no layer is negative
    in expectation; with opposite orders a layer can be.

    Args:
        model: Model with q(z|x) and p(z).
        x: Data, (B, *event).
        num_samples: K, the number of draws per datum.
        **given: Variables that the model conditions on, (B, ..).

    Raises:
        ConfigurationError: q or p has no layers.

    >>> import vi
    >>> model = vi.VAE((6,), vi.MLP([8]), vi.MLP([8]), vi.ChainPosterior([3, 2]),
    ...     vi.ChainPrior([3, 2]), vi.Bernoulli())
    >>> kl_per_layer(model, torch.ones(5, 6)).shape
    torch.Size([2])
    """
    q, p = model.posterior(x, **given), model.prior(**given)
    if not (isinstance(q, Chain) and isinstance(p, Chain)):
        raise ConfigurationError(
            f"{type(q).__name__} and {type(p).__name__} are not both layered",
            hint="posterior=chain prior=chain, or model=ladder",
        )
    z = draw(q, num_samples).z
    return (q.log_prob_layers(z) - p.log_prob_layers(z)).mean((1, 2))
