"""Data simulated by a model under the conditions of given data."""

import torch
from torch import Tensor

from vi.data.base import Batch
from vi.errors import ConfigurationError
from vi.models.base import LatentVariableModel


def simulated(model: LatentVariableModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """Draw z ~ p(z) and x ~ p(x|z) for the conditions of a batch; 0 where x is missing.

    Raises:
        ConfigurationError: p(x|z) cannot be sampled.
    """
    p = model.prior(**batch.given)
    z = p.sample(torch.Size(() if p.batch_shape else (len(batch.x),)))
    return z, replicated(model, z, batch)


def replicated(model: LatentVariableModel, z: Tensor, batch: Batch) -> Tensor:
    """Draw x ~ p(x|z) for z (B, *Z) and the conditions of a batch; 0 where x is missing.

    Raises:
        ConfigurationError: p(x|z) cannot be sampled.
    """
    likelihood = model.likelihood(z, **batch.given)
    try:
        x = likelihood.sample()
    except NotImplementedError:
        raise ConfigurationError(
            f"{type(likelihood).__name__} cannot be sampled, so data cannot be simulated",
            hint="choose a likelihood with a sample method",
        ) from None
    observed = batch.given.get("observed")
    return x if observed is None else x.where(observed, x.new_zeros(()))
