"""A q(z|x) that is at hand, for one batch."""

from typing import TypeVar

from torch import Tensor, nn
from torch.distributions import Distribution

from vi.inference.base import Generative, Inference

Model = TypeVar("Model")


class Given(Inference):
    """The q that is given, whatever x is.

    Args:
        q: For the data of one batch, batch_shape (B,).
        other: What the model infers with otherwise; a prior made of posteriors asks it.
    """

    passes = 0

    def __init__(self, q: Distribution, other: Inference) -> None:
        super().__init__()
        self.q, self.other = q, other

    def forward(self, model: Generative, x: Tensor, **given: Tensor) -> Distribution:
        """The q that was given."""
        del model, x, given
        return self.q

    def first(self, model: Generative, x: Tensor, **given: Tensor) -> Distribution:
        """Of the other."""
        return self.other.first(model, x, **given)


class Written(Inference):
    """The q(z|x) of a model that writes its own ``posterior``, by hand."""

    def forward(self, model: Generative, x: Tensor, **given: Tensor) -> Distribution:
        """What the model says."""
        return model.posterior(x, **given)

    def own_parameters(self) -> list[nn.Parameter]:
        """None are known."""
        return []


def with_q(model: Generative, q: Distribution) -> Generative:
    """The model with this q(z|x), for one batch: p(x, z) and its parameters are the same.

    Args:
        model: A ``LatentVariableModel``.
        q: For the data of the batch, batch_shape (B,).
    """
    return model.with_inference(Given(q, model.inference))
