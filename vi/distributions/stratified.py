"""Uniform mixtures with stratified samples: equally many draws from every component."""

from functools import partial

from vi.distributions.draw import without_gradient
from vi.distributions.mixture import FiniteMixture
from vi.distributions.protocols import OnePass, ScoredDraws
from vi.math import Shape


class StratifiedMixture(OnePass, FiniteMixture):
    """Uniform mixture q(z) = 1/M sum_m q_m(z), whose ``rsample`` draws K times per component.

    The mean of a function over these draws is an unbiased estimate of its expectation under q,
    with at most the variance of K M independent draws. ``sample`` draws the component at random,
    as every mixture does.

    Args:
        logits: Equal for all m, (*batch, M).
        components: q_m, with batch_shape (*batch, M) and event_shape (*event).

    Reference: Kviman, Molen, Hotti, Kurt, Elvira and Lagergren, 2023,
    https://arxiv.org/abs/2209.15514

    >>> import torch
    >>> from torch.distributions import Independent, Normal
    >>> q = StratifiedMixture(torch.zeros(5, 2), Independent(Normal(torch.zeros(5, 2, 3), 1.0), 1))
    >>> z, log_q = q.rsample_and_log_prob((4,))
    >>> z.shape, log_q.shape
    (torch.Size([8, 5, 3]), torch.Size([8, 5]))
    """

    def rsample_and_density(self, sample_shape: Shape = ()) -> ScoredDraws:
        """Draw K times from each component, (K M, *batch, *event); log q is that of the mixture.

        Raises:
            ConfigurationError: The components have no ``rsample``, and log q requires a gradient.
        """
        q = self.components
        z = (q.rsample if q.has_rsample else q.sample)(sample_shape)
        z = z.movedim(self._axis, 1).flatten(0, 1)
        if q.has_rsample:
            return z, partial(self.log_prob, z)
        log_q = without_gradient(self, z).log_q
        return z, lambda: log_q
