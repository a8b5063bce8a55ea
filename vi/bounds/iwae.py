"""The importance-weighted bound (IWAE)."""

from torch import Tensor

from vi.bounds.base import Estimate, Need, SampledBound, log_weight_terms
from vi.distributions.draw import draw
from vi.math import log_mean_exp
from vi.models.base import LatentVariableModel


class IWAE(SampledBound):
    """Importance-weighted bound E[log (1/K) sum_k p(x, z_k) / q(z_k|x)] with z_k ~ q(z|x).

    It increases with K towards log p(x); K = 1 is the ELBO. The value is the bound itself; the
    terms are those of the ELBO of the same samples.

    Args:
        num_samples: K, the number of draws per datum.

    Raises:
        ConfigurationError: q has no reparameterised sample.

    Reference: Burda, Grosse and Salakhutdinov, 2016, https://arxiv.org/abs/1509.00519

    >>> import torch, vi
    >>> model = vi.PPCA((4,), latent_dim=2)  # its posterior is exact, so all weights are equal
    >>> x = model.sample(5)
    >>> torch.allclose(IWAE(num_samples=8)(model, x).value, model.log_evidence(x))
    True
    """

    needs = frozenset({Need.DENSITY, Need.DRAWS})
    is_mean_of_weights = True

    def __init__(self, num_samples: int = 8) -> None:
        super().__init__(num_samples)

    def forward(self, model: LatentVariableModel, x: Tensor, **given: Tensor) -> Estimate:
        """Estimate the bound from K draws as the log of the mean importance weight."""
        q = model.posterior(x, **given)
        at = draw(q, self.num_samples)
        z, log_q = at.z, at.log_q
        log_joint, log_prior = model.log_joint_and_prior(x, z, **given)
        log_w = log_joint - log_q
        value = log_mean_exp(log_w, 0)
        terms = log_weight_terms(at, log_joint - log_prior, at.mean(log_w))
        return Estimate(value, value, terms)
