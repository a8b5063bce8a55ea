"""The KL of each latent dimension."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, Independent

from vi.distributions.kl import closed_form_kl
from vi.errors import ConfigurationError
from vi.models.base import LatentVariableModel


@torch.no_grad()
def kl_per_dimension(
    model: LatentVariableModel, x: Tensor, **given: Tensor
) -> Float[Tensor, " Z"]:
    """Return the mean over the batch of KL(q(z_d|x) || p(z_d)) in nats, (Z,).

    The dimensions add up to the KL of the ELBO. A dimension near 0 nats has collapsed to the
    prior.

    Args:
        model: Model with q(z|x) and p(z).
        x: Data, (B, *event).
        **given: Variables that the model conditions on, (B, ..).

    Raises:
        ConfigurationError: q or p does not factorise over the latent dimensions.

    >>> import vi
    >>> parts = vi.DiagonalGaussian(2), vi.StandardNormal(2), vi.Bernoulli()
    >>> model = vi.VAE((6,), vi.MLP([8]), vi.MLP([8]), *parts)
    >>> kl_per_dimension(model, torch.ones(5, 6)).shape
    torch.Size([2])
    """
    q, p = model.posterior(x, **given), model.prior(**given)
    return closed_form_kl(over_dimensions(q), over_dimensions(p)).mean(0)


def over_dimensions(distribution: Distribution) -> Distribution:
    """What a distribution is the product of, one factor for each latent dimension.

    Raises:
        ConfigurationError: It does not factorise so.
    """
    if isinstance(distribution, Independent) and distribution.reinterpreted_batch_ndims == 1:
        return distribution.base_dist
    raise ConfigurationError(
        f"{type(distribution).__name__} does not factorise over the latent dimensions",
        hint="KL per dimension needs a factorised posterior and prior",
    )
