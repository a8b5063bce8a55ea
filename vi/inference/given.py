"""Inference with a fixed q(z|x) for one batch, and with a hand-written ``posterior``."""

from typing import TypeVar

from torch import Tensor, nn
from torch.distributions import Distribution

from vi.inference.base import Generative, Inference

Model = TypeVar("Model")


class Given(Inference):
    """A fixed q, returned whatever x is.

    Args:
        q: q(z|x) of the data of one batch, batch_shape (B,).
        other: The inference that the model otherwise uses; a prior that mixes posteriors needs it.
    """

    passes = 0

    def __init__(self, q: Distribution, other: Inference) -> None:
        super().__init__()
        self.q, self.other = q, other

    def forward(self, model: Generative, x: Tensor, **given: Tensor) -> Distribution:
        """Return the fixed q."""
        del model, x, given
        return self.q

    def first(self, model: Generative, x: Tensor, **given: Tensor) -> Distribution:
        """Return the unrefined q of the other inference."""
        return self.other.first(model, x, **given)


class Written(Inference):
    """The inference of a model that implements ``posterior`` itself."""

    def forward(self, model: Generative, x: Tensor, **given: Tensor) -> Distribution:
        """Return ``model.posterior(x)``."""
        return model.posterior(x, **given)

    def own_parameters(self) -> list[nn.Parameter]:
        """Return an empty list: parameters of a hand-written posterior count as the model's."""
        return []


def with_q(model: Generative, q: Distribution) -> Generative:
    """Return the model with this q(z|x) for one batch; p(x, z) and its parameters are the same.

    Args:
        model: A ``LatentVariableModel``.
        q: q(z|x) of the data of the batch, batch_shape (B,).
    """
    return model.with_inference(Given(q, model.inference))
