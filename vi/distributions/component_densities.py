"""Log-densities of all components of a mixture at many values."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal


def component_log_prob(components: Distribution, value: Tensor) -> Tensor:
    """Return log p_c(value) of every component in nats, (.., *batch, C).

    For diagonal Gaussians without batch axes and values in single precision, the quadratic form is
    expanded into matrix products in double precision. This avoids the (.., C, Z) differences value
    - m_c, which cost as much as a decoder. The expansion loses digits where s_c < 1e-7 |m_c|,
    which is also where a value in single precision has none left.

    Args:
        components: Distribution with batch_shape (*batch, C) and event_shape (*event).
        value: Values, (.., *batch, *event).

    >>> components = Independent(Normal(torch.zeros(4, 2), 1.0), 1)
    >>> component_log_prob(components, torch.zeros(5, 2))[0]
    tensor([-1.8379, -1.8379, -1.8379, -1.8379])
    """
    match components:
        case Independent(base_dist=Normal() as normals, reinterpreted_batch_ndims=1) if (
            value.dtype == torch.float32 and len(normals.batch_shape) == 2
        ):
            return _by_products(normals, value.double()).to(value.dtype)
    rank = len(components.event_shape)
    value = value.unsqueeze(-1 - rank)
    lead = torch.broadcast_shapes(value.shape[: value.ndim - rank], components.batch_shape)
    # Flows do not broadcast their argument, so it is expanded here.
    return components.log_prob(value.expand(*lead, *components.event_shape))


def _by_products(normals: Normal, z: Tensor) -> Tensor:
    """-1/2 sum_d (z_d^2 - 2 z_d m_d + m_d^2) / s_d^2 - log s_d - 1/2 log 2 pi, (.., C)."""
    m, s = normals.loc.double(), normals.scale.double()
    slope = m / s.square()
    weight = torch.cat([-0.5 / s.square(), slope], -1)
    constant = -(0.5 * m * slope + s.log() + 0.5 * math.log(2 * math.pi)).sum(-1)
    return torch.cat([z.square(), z], -1) @ weight.mT + constant
