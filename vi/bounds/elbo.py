"""The evidence lower bound in its three algebraic forms; they agree in expectation."""

from torch import Tensor

from vi.bounds.base import Bound, Estimate, log_weight_terms
from vi.distributions.draw import draw
from vi.distributions.kl import closed_form_entropy, closed_form_kl
from vi.errors import require_positive
from vi.models.base import LatentVariableModel


class ELBO(Bound):
    """E_q[log p(x|z)] - KL(q(z|x) || p(z)), with the KL in closed form.

    Args:
        num_samples: K, the draws in the Monte-Carlo mean of the first term; a discrete z is summed
            over instead.

    Raises:
        ConfigurationError: The KL has no closed form, or q no reparameterised sample.

    Reference: Kingma and Welling, 2014, https://arxiv.org/abs/1312.6114, equation 7
    """

    def __init__(self, num_samples: int = 1) -> None:
        super().__init__()
        require_positive("num_samples", num_samples)
        self.num_samples = num_samples

    def forward(self, model: LatentVariableModel, x: Tensor, **given: Tensor) -> Estimate:
        """See ``Bound``."""
        q = model.posterior(x, **given)
        at = draw(q, self.num_samples, enumerate_support=True)
        reconstruction = at.mean(model.likelihood(at.z, **given).log_prob(x))
        kl = closed_form_kl(q, model.prior(**given))
        elbo = reconstruction - kl
        return Estimate(elbo, elbo, {"elbo": elbo, "kl": kl, "reconstruction": reconstruction})


class EntropyELBO(Bound):
    """E_q[log p(x, z)] + H(q), with the entropy in closed form: the form of EM.

    Its terms add ``energy`` and ``entropy``.

    Args:
        num_samples: K, the draws in the Monte-Carlo mean of the first term.

    Reference: Neal and Hinton, 1998, https://doi.org/10.1007/978-94-011-5014-9_12
    """

    def __init__(self, num_samples: int = 1) -> None:
        super().__init__()
        require_positive("num_samples", num_samples)
        self.num_samples = num_samples

    def forward(self, model: LatentVariableModel, x: Tensor, **given: Tensor) -> Estimate:
        """See ``Bound``."""
        q = model.posterior(x, **given)
        at = draw(q, self.num_samples, enumerate_support=True)
        log_joint, log_prior = model.log_joint_and_prior(x, at.z, **given)
        energy, entropy = at.mean(log_joint), closed_form_entropy(q)
        elbo = energy + entropy
        terms = log_weight_terms(at, log_joint - log_prior, elbo)
        return Estimate(elbo, elbo, terms | {"energy": energy, "entropy": entropy})


class LogWeightELBO(Bound):
    """E_q[log p(x, z) - log q(z|x)]: nothing in closed form, the mean of the log-weights.

    Args:
        num_samples: K, the draws in the Monte-Carlo mean.

    Reference: Ranganath, Gerrish and Blei, 2014, https://arxiv.org/abs/1401.0118
    """

    def __init__(self, num_samples: int = 1) -> None:
        super().__init__()
        require_positive("num_samples", num_samples)
        self.num_samples = num_samples

    def forward(self, model: LatentVariableModel, x: Tensor, **given: Tensor) -> Estimate:
        """See ``Bound``."""
        q = model.posterior(x, **given)
        at = draw(q, self.num_samples, enumerate_support=True)
        z, log_q = at.z, at.log_q
        log_joint, log_prior = model.log_joint_and_prior(x, z, **given)
        elbo = at.mean(log_joint - log_q)
        return Estimate(elbo, elbo, log_weight_terms(at, log_joint - log_prior, elbo))
