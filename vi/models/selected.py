"""The likelihood p(x|z) of a mixture."""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.distributions import Distribution

from vi.math import Shape


@runtime_checkable
class Components(Protocol):
    """The component distributions p(x|c), c = 1, .., C, of a ``Mixture``."""

    data_shape: Shape
    weight_logits: Tensor

    def component_log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x|c) in nats, (B, C) for x (B, D)."""
        ...

    def component_means(self) -> Tensor:
        """Return E[x|c], (C, D)."""
        ...

    def draw(self, component: Tensor) -> Tensor:
        """Draw one x ~ p(x|c) for each c, (n, D)."""
        ...


class Selected(Distribution):
    """p(x|z) = sum_c z_c p(x|c) for z on the simplex: component c if z is one-hot at c.

    Args:
        model: Gives p(x|c).
        z: (*batch, C).
    """

    arg_constraints = {}  # pyright: ignore

    def __init__(self, model: Components, z: Tensor) -> None:
        super().__init__(z.shape[:-1], torch.Size(model.data_shape), validate_args=False)
        self.model, self.z = model, z.to(model.weight_logits)

    @property
    def mean(self) -> Tensor:
        """sum_c z_c E[x|c], (*batch, D)."""
        return self.z @ self.model.component_means()

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log sum_c z_c p(x|c) in nats; p(x|c) is computed once for all z."""
        rows = value.reshape(-1, value.shape[-1]).to(self.z)
        table = self.model.component_log_prob(rows).reshape(*value.shape[:-1], -1)
        return (self.z.log() + table).logsumexp(-1)

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw x: (*sample_shape, *batch, D)."""
        with torch.no_grad():
            z = self.z.expand(*sample_shape, *self.z.shape)
            component = z.flatten(0, -2).multinomial(1).squeeze(-1)
            return self.model.draw(component).unflatten(0, z.shape[:-1])
