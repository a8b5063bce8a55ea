"""Finite mixtures."""

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from vi.distributions.component_densities import component_log_prob
from vi.distributions.protocols import CostlyMean
from vi.math import Shape


class FiniteMixture(CostlyMean, Distribution):
    """Finite mixture p(z) = sum_c w_c p_c(z), over events of any shape.

    ``sample`` has no gradient: the choice of the component is discrete.

    Args:
        logits: log w_c up to a constant, (*batch, C).
        components: p_c, with batch_shape (*batch, C) and event_shape (*event).

    >>> from torch.distributions import Normal
    >>> components = Normal(torch.tensor([-1.0, 1.0]), 1.0)
    >>> p = FiniteMixture(torch.zeros(2), components)
    >>> p.mean, p.variance, p.log_prob(torch.zeros(5)).shape
    (tensor(0.), tensor(2.), torch.Size([5]))
    """

    arg_constraints = {}  # pyright: ignore

    def __init__(self, logits: Tensor, components: Distribution) -> None:
        super().__init__(logits.shape[:-1], components.event_shape, validate_args=False)
        self.log_weights = logits.log_softmax(-1)
        self.components = components
        self.inside = components.inside if isinstance(components, CostlyMean) else None

    @property
    def support(self) -> Constraint:  # pyright: ignore
        """Support of the components."""
        return self.components.support  # pyright: ignore

    @property
    def mean(self) -> Tensor:
        """sum_c w_c E_c[z], (*batch, *event)."""
        return self._average(self.components.mean)

    @property
    def variance(self) -> Tensor:
        """Mean of the variances plus variance of the means, (*batch, *event)."""
        between = self.components.mean - self.mean.unsqueeze(self._axis)
        return self._average(self.components.variance + between.square())

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log sum_c w_c p_c(value) in nats, (*batch)."""
        log_p = component_log_prob(self.components, value)
        return (self.log_weights + log_p).logsumexp(-1)

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw a component, then z from it: (*sample_shape, *batch, *event)."""
        with torch.no_grad():
            return self.draw_from(self._draw_components(sample_shape))

    def draw_from(self, index: Tensor) -> Tensor:
        """Draw one z from each of the given components.

        Args:
            index: Numbers of components, (.., *batch).

        Returns:
            z, (.., *batch, *event).
        """
        rank = index.ndim - len(self.batch_shape)
        every = self.components.sample(torch.Size(index.shape[:rank]))
        index = index.reshape(*index.shape, *[1] * -self._axis)
        return every.take_along_dim(index, self._axis).squeeze(self._axis)

    def _draw_components(self, sample_shape: Shape) -> Tensor:
        """Draw components by comparing uniform numbers with the cumulative weights.

        Unlike ``torch.multinomial`` this does not wait for the device.
        """
        shape = (*sample_shape, *self.batch_shape, 1)
        weights = self.log_weights.exp()
        uniform = torch.rand(shape, dtype=weights.dtype, device=weights.device)
        return (uniform >= weights.cumsum(-1)[..., :-1]).sum(-1)

    @property
    def _axis(self) -> int:
        """Axis of the components in (*batch, C, *event), counted from the end."""
        return -1 - len(self.event_shape)

    def _average(self, values: Tensor) -> Tensor:
        """Return sum_c w_c values_c, (*batch, *event)."""
        weights = self.log_weights.exp()
        weights = weights.reshape(*weights.shape, *[1] * len(self.event_shape))
        return (weights * values).sum(self._axis)
