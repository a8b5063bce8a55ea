"""The base of inference with networks followed by a head."""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.prior import Prior
from vi.distributions.support import require_same_latent
from vi.inference.base import Generative, Parametric
from vi.networks.base import NetworkFactory, built
from vi.networks.own import spelled


class Headed(Parametric):
    """q(z; lambda) in the family of a head; networks compute lambda.

    Exact models compute in double precision. Beside such a model the networks use the default
    precision, while q and all that follows use double.

    An implementer writes ``parameters_of``, and makes the networks in ``set_up`` after
    ``super().set_up``: by ``made``, or from ``recipe`` if they read more than x.

    Args:
        encoder: Makes a network, or is one.
        posterior: The head that gives q.
    """

    recipe: NetworkFactory | nn.Module

    def __init__(
        self, encoder: NetworkFactory | nn.Module, posterior: ConditionalDistribution
    ) -> None:
        super().__init__()
        vars(self)["recipe"] = encoder  # past nn.Module: a finished one is a part when it is built
        self.encoder: nn.Module = nn.Identity()  # until the model tells its sizes
        self.head = posterior
        self.context_dim = 0
        self.latent_dtype: torch.dtype | None = None

    def set_up(self, model: Generative, prior: Prior | Distribution) -> None:
        """Check that q and p(z) have the same space; take the model's context and precision.

        Raises:
            ConfigurationError: The supports or the shapes differ.
        """
        require_same_latent(self.head, prior)
        self.context_dim, self.latent_dtype = model.context_dim, model.latent_dtype
        self.head.to(self.latent_dtype)

    def made(self, model: Generative) -> nn.Module:
        """Make a network x -> lambda, with the context as a further input if the model has one."""
        conditional = {"context_dim": self.context_dim} if self.context_dim else {}
        shapes = model.data_shape, self.head.out_shape
        return built("encoder", self.recipe, *shapes, spelled(self.head), **conditional)

    def at(self, model: Generative, parameters: Tensor) -> Distribution:
        """Return q(z; lambda), batch_shape (B,), for lambda (B, *P)."""
        del model
        if self.latent_dtype is not None:
            parameters = parameters.to(self.latent_dtype)
        return self.head(parameters)

    def start(self, like: Tensor) -> Tensor:
        """Return the head's starting parameters, shaped like ``like``."""
        return self.head.starting_parameters(like)

    def shared_parameters(self) -> list[nn.Parameter]:
        """Return the head's own parameters, such as the networks of a flow."""
        return list(self.head.parameters())
