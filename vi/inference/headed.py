"""What the inferences have in common whose q is a head behind networks."""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.prior import Prior
from vi.distributions.support import require_same_latent
from vi.inference.base import Generative, Parametric
from vi.networks.base import NetworkFactory, built


class Headed(Parametric):
    """q(z; lambda) of the family of a head; networks say what lambda is.

    Beside an exact model, which computes in double precision, the networks work in the default
    precision; q and everything after it in double.

    An implementer writes ``parameters_of``, and makes its networks in ``set_up``, after
    ``super().set_up``: by ``made``, or of ``recipe`` where they read more than x.

    Args:
        encoder: Makes a network.
        posterior: The head that gives q.
    """

    def __init__(self, encoder: NetworkFactory, posterior: ConditionalDistribution) -> None:
        super().__init__()
        self.recipe = encoder
        self.encoder: nn.Module = nn.Identity()  # until the model tells its sizes
        self.head = posterior
        self.context_dim = 0
        self.latent_dtype: torch.dtype | None = None

    def set_up(self, model: Generative, prior: Prior | Distribution) -> None:
        """See ``Inference``."""
        require_same_latent(self.head, prior)
        self.context_dim, self.latent_dtype = model.context_dim, model.latent_dtype
        self.head.to(self.latent_dtype)

    def made(self, model: Generative) -> nn.Module:
        """A network x -> lambda of the recipe, which sees the context of a model that has one."""
        conditional = {"context_dim": self.context_dim} if self.context_dim else {}
        shapes = model.data_shape, self.head.out_shape
        return built("encoder", self.recipe, *shapes, **conditional)

    def at(self, model: Generative, parameters: Tensor) -> Distribution:
        """q(z; lambda)."""
        del model
        if self.latent_dtype is not None:
            parameters = parameters.to(self.latent_dtype)
        return self.head(parameters)

    def start(self, like: Tensor) -> Tensor:
        """What the head says."""
        return self.head.starting_parameters(like)

    def shared_parameters(self) -> list[nn.Parameter]:
        """Of the head."""
        return list(self.head.parameters())
