"""The evidence lower bound of several latent layers, with a closed-form KL for each."""

import torch
from torch import Tensor
from torch.distributions import Distribution

from vi.bounds.base import Estimate, Need, SampledBound
from vi.distributions.chain import Chain
from vi.distributions.datum_noise import keyed_draw
from vi.distributions.draw import Points, draw
from vi.distributions.kl import closed_form_kl
from vi.errors import ConfigurationError
from vi.models.base import LatentVariableModel


class LayeredELBO(SampledBound):
    """Layered ELBO E_q[log p(x|z) - sum_l KL(q(z_l|z_>l, x) || p(z_l|z_>l))].

    The KL of layer l is exact given the draws of the layers above, so the variance is lower than
    that of the mean log-weight. With one layer it equals ``ELBO``. With several layers the terms
    also contain ``kl_layer_1``, ``kl_layer_2``, ....

    Args:
        num_samples: K, the number of draws per datum.

    Raises:
        ConfigurationError: q and p sample their layers in different orders, or a layer has no
            closed-form KL.

    Reference: Sonderby, Raiko, Maaloe, Sonderby and Winther, 2016,
    https://arxiv.org/abs/1602.02282

    >>> import vi
    >>> parts = vi.DiagonalGaussian(2), vi.StandardNormal(2), vi.Bernoulli()
    >>> model = vi.VAE((6,), vi.MLP([8]), vi.MLP([8]), *parts)
    >>> kl = LayeredELBO()(model, torch.ones(5, 6)).terms["kl"]
    >>> torch.equal(kl, vi.ELBO()(model, torch.ones(5, 6)).terms["kl"])
    True
    """

    needs = frozenset({Need.LAYER_KL})
    is_elbo = True

    def forward(self, model: LatentVariableModel, x: Tensor, **given: Tensor) -> Estimate:
        """Estimate E_q[log p(x|z)] from K draws and subtract the KL of each layer."""
        q, p = model.posterior(x, **given), model.prior(**given)
        if isinstance(q, Chain):
            at, of_q, of_p = self._layers(q, p)
        else:
            at = draw(q, self.num_samples, enumerate_support=True)
            of_q, of_p = [q], [p]
        reconstruction = at.mean(model.likelihood(at.z, **given).log_prob(x))
        draws = (len(at.z), len(x))
        kls = [
            at.mean(closed_form_kl(*pair).expand(draws)) for pair in zip(of_q, of_p, strict=True)
        ]
        kl = torch.stack(kls).sum(0)
        elbo = reconstruction - kl
        terms = {"elbo": elbo, "kl": kl, "reconstruction": reconstruction}
        layers = {f"kl_layer_{number}": each for number, each in enumerate(kls, start=1)}
        return Estimate(elbo, elbo, terms | (layers if len(kls) > 1 else {}))

    def _layers(
        self, q: Chain, p: Distribution
    ) -> tuple[Points, list[Distribution], list[Distribution]]:
        """Return draws of z, and the distributions of every layer under q and p at those draws."""
        if not isinstance(p, Chain) or p.from_last != q.from_last:
            raise ConfigurationError(
                "q(z|x) and p(z) sample their layers in different orders, so single layers have "
                "no KL in closed form",
                hint="bound=elbo_log_weight takes any order; model=ladder has one order for both",
            )
        with keyed_draw(self.num_samples, q.batch_shape):
            z, of_q = q.rsample_and_conditionals((self.num_samples,))
        return Points(z, lambda: q.log_prob(z)), of_q, p.conditionals(z)
