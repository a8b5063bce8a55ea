"""The wake-sleep algorithms: theta climbs a bound, phi learns from dreams or from weights."""

from abc import abstractmethod
from typing import Unpack

import torch
from torch import Tensor

from vi.bounds.base import Estimate
from vi.data.base import Batch
from vi.distributions.draw import draw
from vi.errors import ConfigurationError, require_positive
from vi.models.base import LatentVariableModel
from vi.schemes.base import Context
from vi.schemes.gradient import (
    GradientOptions,
    GradientScheme,
    frozen,
    loss,
    parameters_of,
)


class TwoStepScheme(GradientScheme):
    """On every batch one step of theta, which climbs the bound, and one of phi.

    An implementer writes ``phi_loss``, whose gradient in phi is what the E-step follows; no
    pathwise gradient is needed, so z may be discrete.
    """

    @abstractmethod
    def phi_loss(self, model: LatentVariableModel, batch: Batch) -> Tensor:
        """A scalar, nats per datum; theta is held while it is differentiated."""

    def step(self, context: Context, batch: Batch) -> Estimate:
        """One M-step and one E-step."""
        encoder, decoder = context.optimizers
        self.enter("m")
        with frozen(parameters_of(encoder)):
            estimate = context.bound(context.model, batch.x, **batch.given)
            self.descend(loss(estimate), context, [decoder])
        self.enter("e")
        with frozen(parameters_of(decoder)):
            self.descend(self.phi_loss(context.model, batch), context, [encoder])
        return estimate


class WakeSleep(TwoStepScheme):
    """phi follows the gradient of E_p(x,z)[log q(z|x)]: the encoder learns from dreams.

    That lowers KL(p(z|x) || q(z|x)) over dreamed x, not the KL of the bound.

    Reference: Hinton, Dayan, Frey and Neal, 1995, https://doi.org/10.1126/science.7761831
    """

    def phi_loss(self, model: LatentVariableModel, batch: Batch) -> Tensor:
        """-E[log q(z|x)] over as many dreams as there are data in the batch."""
        return _dream_loss(model, batch)


class ReweightedWakeSleep(TwoStepScheme):
    """phi follows (1 - s) times the wake gradient and s times the sleep gradient.

    The wake gradient is that of -sum_k w_k log q(z_k|x), with z_k ~ q(z|x) and w the normalised
    importance weights: it lowers KL(p(z|x) || q(z|x)) at the data. Its bias falls as 1/K.

    Args:
        num_samples: K of the wake gradient, at least 2.
        sleep_weight: s, from 0 to 1.
        **options: See ``GradientScheme``.

    Reference: Bornschein and Bengio, 2015, https://arxiv.org/abs/1406.2751
    """

    def __init__(
        self,
        num_samples: int = 8,
        sleep_weight: float = 0.0,
        **options: Unpack[GradientOptions],
    ) -> None:
        super().__init__(**options)
        require_positive("num_samples", num_samples, least=1)
        if not 0 <= sleep_weight <= 1:
            raise ConfigurationError(
                f"sleep_weight must lie from 0 to 1, got {sleep_weight:g}",
                hint="scheme.sleep_weight=0.5",
            )
        self.num_samples = num_samples
        self.sleep_weight = sleep_weight

    def phi_loss(self, model: LatentVariableModel, batch: Batch) -> Tensor:
        """See the class."""
        total = torch.zeros(())
        if self.sleep_weight < 1:
            total = total + (1 - self.sleep_weight) * self._wake_loss(model, batch)
        if self.sleep_weight > 0:
            total = total + self.sleep_weight * _dream_loss(model, batch)
        return total

    def _wake_loss(self, model: LatentVariableModel, batch: Batch) -> Tensor:
        q = model.posterior(batch.x, **batch.given)
        with torch.no_grad():
            at = draw(q, self.num_samples)
            log_w = model.log_joint(batch.x, at.z, **batch.given) - at.log_q
        return -(log_w.softmax(0) * q.log_prob(at.z)).sum(0).mean()


def _dream_loss(model: LatentVariableModel, batch: Batch) -> Tensor:
    """-log q(z|x) for (x, z) ~ p(x, z | given), nats per datum."""
    with torch.no_grad():
        p = model.prior(**batch.given)
        z = p.sample() if p.batch_shape else p.sample((len(batch.x),))
        x = model.likelihood(z, **batch.given).sample().view_as(batch.x)
    return -model.posterior(x.to(batch.x.dtype), **batch.given).log_prob(z).mean()
