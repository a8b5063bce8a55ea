"""The evidence lower bound in its three algebraic forms; they agree in expectation."""

from torch import Tensor

from vi.bounds.base import Estimate, Need, SampledBound, log_weight_terms
from vi.distributions.draw import draw
from vi.distributions.kl import closed_form_entropy, closed_form_kl
from vi.models.base import LatentVariableModel


class ELBO(SampledBound):
    """E_q[log p(x|z)] - KL(q(z|x) || p(z)), with the KL in closed form.

    Args:
        num_samples: K; a discrete z of few states is summed over instead.

    Raises:
        ConfigurationError: The KL has no closed form, or q no reparameterised sample.

    Reference: Kingma and Welling, 2014, https://arxiv.org/abs/1312.6114, equation 7
    """

    needs = frozenset({Need.KL})
    is_elbo = True

    def forward(self, model: LatentVariableModel, x: Tensor, **given: Tensor) -> Estimate:
        """See ``Bound``."""
        q = model.posterior(x, **given)
        at = draw(q, self.num_samples, enumerate_support=True)
        reconstruction = at.mean(model.likelihood(at.z, **given).log_prob(x))
        kl = closed_form_kl(q, model.prior(**given))
        elbo = reconstruction - kl
        return Estimate(elbo, elbo, {"elbo": elbo, "kl": kl, "reconstruction": reconstruction})


class EntropyELBO(SampledBound):
    """E_q[log p(x, z)] + H(q), with the entropy in closed form: the form of EM.

    Its terms add ``energy`` and ``entropy``.

    Reference: Neal and Hinton, 1998, https://doi.org/10.1007/978-94-011-5014-9_12
    """

    needs = frozenset({Need.ENTROPY})
    is_elbo = True

    def forward(self, model: LatentVariableModel, x: Tensor, **given: Tensor) -> Estimate:
        """See ``Bound``."""
        q = model.posterior(x, **given)
        at = draw(q, self.num_samples, enumerate_support=True)
        log_joint, log_prior = model.log_joint_and_prior(x, at.z, **given)
        energy, entropy = at.mean(log_joint), closed_form_entropy(q)
        elbo = energy + entropy
        terms = log_weight_terms(at, log_joint - log_prior, elbo)
        return Estimate(elbo, elbo, terms | {"energy": energy, "entropy": entropy})


class LogWeightELBO(SampledBound):
    """E_q[log p(x, z) - log q(z|x)]: nothing in closed form, the mean of the log-weights.

    Reference: Ranganath, Gerrish and Blei, 2014, https://arxiv.org/abs/1401.0118
    """

    needs = frozenset({Need.DENSITY})
    is_elbo = True
    is_mean_of_weights = True

    def forward(self, model: LatentVariableModel, x: Tensor, **given: Tensor) -> Estimate:
        """See ``Bound``."""
        q = model.posterior(x, **given)
        at = draw(q, self.num_samples, enumerate_support=True)
        z, log_q = at.z, at.log_q
        log_joint, log_prior = model.log_joint_and_prior(x, z, **given)
        elbo = at.mean(log_joint - log_q)
        return Estimate(elbo, elbo, log_weight_terms(at, log_joint - log_prior, elbo))
