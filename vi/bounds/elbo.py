"""The evidence lower bound (ELBO) in its three algebraic forms, which agree in expectation."""

from torch import Tensor

from vi.bounds.base import Estimate, Need, SampledBound, log_weight_terms
from vi.distributions.draw import draw
from vi.distributions.kl import closed_form_entropy, closed_form_kl
from vi.models.base import LatentVariableModel


class ELBO(SampledBound):
    """Evidence lower bound E_q[log p(x|z)] - KL(q(z|x) || p(z)), with the KL in closed form.

    log p(x) - ELBO = KL(q(z|x) || p(z|x)), so the bound is tight if q is the true posterior.

    Args:
        num_samples: K, the number of draws per datum. For a discrete z with few states the bound
            sums over z instead.

    Raises:
        ConfigurationError: The KL has no closed form, or q has no reparameterised sample.

    Reference: Kingma and Welling, 2014, https://arxiv.org/abs/1312.6114, equation 7

    >>> import torch, vi
    >>> parts = vi.DiagonalGaussian(2), vi.StandardNormal(2), vi.Bernoulli()
    >>> model = vi.VAE((6,), vi.MLP([8]), vi.MLP([8]), *parts)
    >>> estimate = ELBO(num_samples=3)(model, torch.ones(5, 6))
    >>> estimate.value.shape, sorted(estimate.terms)
    (torch.Size([5]), ['elbo', 'kl', 'reconstruction'])
    """

    needs = frozenset({Need.KL})
    is_elbo = True

    def forward(self, model: LatentVariableModel, x: Tensor, **given: Tensor) -> Estimate:
        """Estimate E_q[log p(x|z)] from K draws and subtract the exact KL."""
        q = model.posterior(x, **given)
        at = draw(q, self.num_samples, enumerate_support=True)
        reconstruction = at.mean(model.likelihood(at.z, **given).log_prob(x))
        kl = closed_form_kl(q, model.prior(**given))
        elbo = reconstruction - kl
        return Estimate(elbo, elbo, {"elbo": elbo, "kl": kl, "reconstruction": reconstruction})


class EntropyELBO(SampledBound):
    """Evidence lower bound E_q[log p(x, z)] + H(q), with the entropy in closed form.

    This is the form that EM maximises. The terms also contain ``energy`` (E_q[log p(x, z)]) and
    ``entropy``.

    Args:
        num_samples: K, the number of draws per datum. For a discrete z with few states the bound
            sums over z instead.

    Raises:
        ConfigurationError: The entropy has no closed form, or q has no reparameterised sample.

    Reference: Neal and Hinton, 1998, https://doi.org/10.1007/978-94-011-5014-9_12

    >>> import torch, vi
    >>> model = vi.PPCA((4,), latent_dim=2)
    >>> estimate = EntropyELBO(num_samples=3)(model, model.sample(5))
    >>> sorted(estimate.terms)
    ['elbo', 'energy', 'entropy', 'kl', 'reconstruction']
    """

    needs = frozenset({Need.ENTROPY})
    is_elbo = True

    def forward(self, model: LatentVariableModel, x: Tensor, **given: Tensor) -> Estimate:
        """Estimate E_q[log p(x, z)] from K draws and add the exact entropy."""
        q = model.posterior(x, **given)
        at = draw(q, self.num_samples, enumerate_support=True)
        log_joint, log_prior = model.log_joint_and_prior(x, at.z, **given)
        energy, entropy = at.mean(log_joint), closed_form_entropy(q)
        elbo = energy + entropy
        terms = log_weight_terms(at, log_joint - log_prior, elbo)
        return Estimate(elbo, elbo, terms | {"energy": energy, "entropy": entropy})


class LogWeightELBO(SampledBound):
    """Evidence lower bound E_q[log p(x, z) - log q(z|x)] as the mean of K log-weights.

    It needs no closed form, only log q of its draws. If q is the true posterior, every log-weight
    equals log p(x), and the estimate has no variance.

    Args:
        num_samples: K, the number of draws per datum. For a discrete z with few states the bound
            sums over z instead.

    Raises:
        ConfigurationError: q has no reparameterised sample.

    Reference: Ranganath, Gerrish and Blei, 2014, https://arxiv.org/abs/1401.0118

    >>> import torch, vi
    >>> model = vi.PPCA((4,), latent_dim=2)  # its posterior is exact
    >>> x = model.sample(5)
    >>> torch.allclose(LogWeightELBO()(model, x).value, model.log_evidence(x))
    True
    """

    needs = frozenset({Need.DENSITY})
    is_elbo = True
    is_mean_of_weights = True

    def forward(self, model: LatentVariableModel, x: Tensor, **given: Tensor) -> Estimate:
        """Average log p(x, z_k) - log q(z_k|x) over K draws."""
        q = model.posterior(x, **given)
        at = draw(q, self.num_samples, enumerate_support=True)
        z, log_q = at.z, at.log_q
        log_joint, log_prior = model.log_joint_and_prior(x, z, **given)
        elbo = at.mean(log_joint - log_q)
        return Estimate(elbo, elbo, log_weight_terms(at, log_joint - log_prior, elbo))
