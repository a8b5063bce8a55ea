"""A model with another q."""

from torch import Tensor
from torch.distributions import Distribution

from vi.models.base import LatentVariableModel


class PosteriorOf(LatentVariableModel):
    """p(x, z) of a model with the q(z|x) that is given, for one batch.

    Args:
        model: Gives p(x, z).
        q: For the data of the batch, batch_shape (B,).
    """

    model: LatentVariableModel

    def __init__(self, model: LatentVariableModel, q: Distribution) -> None:
        super().__init__()
        self.data_shape = model.data_shape
        vars(self)["model"] = model  # not a part of this one: it lasts for one batch
        self.q = q

    def prior(self, **given: Tensor) -> Distribution:
        """p(z) of the model."""
        return self.model.prior(**given)

    def likelihood(self, z: Tensor, **given: Tensor) -> Distribution:
        """p(x|z) of the model."""
        return self.model.likelihood(z, **given)

    def log_joint_and_prior(self, x: Tensor, z: Tensor, **given: Tensor) -> tuple[Tensor, Tensor]:
        """log p(x, z) and log p(z) of the model."""
        return self.model.log_joint_and_prior(x, z, **given)

    def posterior(self, x: Tensor, **given: Tensor) -> Distribution:
        """The q that was given."""
        del x, given
        return self.q
