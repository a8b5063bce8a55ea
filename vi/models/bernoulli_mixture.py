"""Mixtures of independent bits, also called latent class analysis."""

from collections.abc import Sequence
from typing import Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.distributions import constraints
from torch.nn import functional as F

from vi.initializations.base import Initialization
from vi.initializations.kmeans_plus_plus import KMeansPlusPlus
from vi.models.mixture import Mixture, MixtureOptions, require_prior_count
from vi.models.statistics import Statistics

_PLUS_PLUS = KMeansPlusPlus()
# Probabilities of 0 and 1 would have infinite logits. At this distance from them the energy of a
# datum is too low by at most D times 1e-12 nats.
_MARGIN = 1e-12


class BernoulliMixture(Mixture):
    """Mixture of independent bits, p(x) = sum_c pi_c prod_d p_cd^x_d (1 - p_cd)^(1 - x_d).

    The prior of each p_cd is Beta(1 + n_0 / 2, 1 + n_0 / 2). Its effect is that of n_0 / 2 ones
    and n_0 / 2 zeros added to the data of each component.

    Args:
        data_shape: Event shape of the data; the model flattens them to (D,).
        num_components: C.
        initialization: Chooses the first centres among the data.
        prior_count: n_0, the number of pseudo-data of each component.
        **options: ``learn_weights``, ``restarts`` and ``inference`` of ``Mixture``.

    Raises:
        ConfigurationError: ``prior_count`` is negative.

    Reference: Bishop, Pattern Recognition and Machine Learning, 2006, section 9.3.3

    >>> model = BernoulliMixture((4,), 3)
    >>> model.posterior(torch.ones(5, 4)).mean.shape
    torch.Size([5, 3])
    """

    support = constraints.boolean
    needs = "0/1 data"

    def __init__(
        self,
        data_shape: Sequence[int],
        num_components: int,
        initialization: Initialization = _PLUS_PLUS,
        *,
        prior_count: float = 1.0,
        **options: Unpack[MixtureOptions],
    ) -> None:
        super().__init__(data_shape, num_components, initialization, **options)
        require_prior_count(prior_count)
        self.prior_count = prior_count
        shape = (num_components, *self.data_shape)
        self.logits = nn.Parameter(torch.randn(shape, dtype=torch.float64))
        self.infer_with(options.get("inference"))

    def data_head(self) -> "BernoulliMixture":
        """Return this model, which has the support of x."""
        return self

    def component_log_prob(self, x: Float[Tensor, "B D"]) -> Float[Tensor, "B C"]:
        """Return log p(x|c) = sum_d x_d l_cd - log(1 + exp l_cd) in nats, with the logits l."""
        return x @ self.logits.mT - F.softplus(self.logits).sum(-1)

    def component_means(self) -> Float[Tensor, "C D"]:
        """Return the probabilities p_cd."""
        return self.logits.sigmoid()

    def draw(self, component: Int[Tensor, " n"]) -> Float[Tensor, "n D"]:
        """Draw bits x ~ p(x|c), one row for each component given."""
        return self.component_means()[component].bernoulli()

    def moments(self, x: Float[Tensor, "B D"], r: Float[Tensor, "B C"]) -> dict[str, Tensor]:
        """Return S_cd = sum_n r_nc x_nd, the expected number of ones, as ``first``."""
        return {"first": r.mT @ x}

    def moment_energy(self, statistics: Statistics) -> Float[Tensor, ""]:
        """Return sum_cd S_cd l_cd - N_c log(1 + exp l_cd) in nats."""
        normalisers = F.softplus(self.logits).sum(-1)
        return (statistics["first"] * self.logits).sum() - statistics["mass"] @ normalisers

    def fit(self, statistics: Statistics) -> None:
        """Set p_cd = (S_cd + n_0 / 2) / (N_c + n_0)."""
        mass, ones = statistics["mass"], statistics["first"]
        half, total = self.prior_count / 2, mass[:, None] + self.prior_count
        log_odds = [
            ((n + half) / total).clamp(min=_MARGIN).log() for n in (ones, mass[:, None] - ones)
        ]
        self.logits.copy_((log_odds[0] - log_odds[1]).where(total > 0, self.logits))

    def log_prior(self) -> Float[Tensor, ""]:
        """Return n_0 / 2 sum_cd log p_cd + log(1 - p_cd), up to a constant, in nats."""
        both = F.logsigmoid(self.logits) + F.logsigmoid(-self.logits)
        return self.prior_count / 2 * both.sum()
