"""The role of an inference: a model and x go in, q(z|x) comes out."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.prior import Prior
from vi.errors import ConfigurationError
from vi.evaluations import tallying
from vi.options import Configurable

Generative = Any
"""p(x, z), a ``LatentVariableModel``: asked for ``prior``, ``likelihood``, ``log_joint`` and
``encoder_input``. Its class stands on a higher floor."""


class Inference(Configurable, nn.Module, ABC):
    """How q(z|x) is found for a model, which is handed in at every call and never kept.

    An implementer writes ``forward``; ``set_up`` where networks have to be told their sizes,
    ``own_parameters`` where some belong to the model, and ``first`` where q has a simpler start.
    """

    passes: int = 1
    """Rows of its networks that one datum costs."""

    def set_up(self, model: Generative, prior: Prior | Distribution) -> None:
        """Told by the model, once, whose data and latents these are; networks are made here.

        Args:
            model: Knows ``data_shape``, ``context_dim`` and ``latent_dtype`` by now.
            prior: Knows the shape and the support of z.

        Raises:
            ConfigurationError: q lives on another space than p(z), or a network is no recipe.
        """

    @abstractmethod
    def forward(self, model: Generative, x: Tensor, **given: Tensor) -> Distribution:
        """q(z|x) for x (B, *event), with batch_shape (B,)."""

    def first(self, model: Generative, x: Tensor, **given: Tensor) -> Distribution:
        """q(z|x) before anything refines it: what a prior made of posteriors asks for."""
        return self(model, x, **given)

    def own_parameters(self) -> list[nn.Parameter]:
        """phi, the parameters of q(z|x) alone: what an E-step moves. None if q is exact."""
        return list(self.parameters())

    def initialize(self, model: Generative, x: Tensor, **given: Tensor) -> None:
        """Told training data (N, *event), NaN where x is missing, once the model has started."""

    def networks(self) -> Iterator[nn.Module]:
        """The networks in it: its modules with parameters that are no heads."""
        for child in self.children():
            if isinstance(child, Inference):
                yield from child.networks()
            elif not isinstance(child, ConditionalDistribution):
                parts = child if isinstance(child, nn.ModuleList) else [child]
                yield from (part for part in parts if next(part.parameters(), None) is not None)


class Parametric(Inference):
    """q(z; lambda) with variational parameters lambda for each datum, which can be moved.

    An implementer writes ``parameters_of`` and ``at``; and ``start`` and ``shared_parameters``
    where the family of q has its own. Comes for free: ``forward``.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "parameters_of" in vars(cls):
            method: Any = tallying("parameters_of", vars(cls)["parameters_of"])
            cls.parameters_of = method

    @abstractmethod
    def parameters_of(self, model: Generative, x: Tensor, **given: Tensor) -> Tensor:
        """lambda(x), (B, *P)."""

    @abstractmethod
    def at(self, model: Generative, parameters: Tensor) -> Distribution:
        """The q with variational parameters (B, *P)."""

    def start(self, like: Tensor) -> Tensor:
        """A lambda that knows nothing of x for each of these (B, *P): where a free q starts."""
        return torch.zeros_like(like)

    def shared_parameters(self) -> list[nn.Parameter]:
        """Those of phi that ``at`` uses: what the q of all data share beside lambda."""
        return []

    @property
    def family(self) -> "Parametric":
        """The same q(z; lambda) with the lambda of an encoder alone."""
        return self

    def forward(self, model: Generative, x: Tensor, **given: Tensor) -> Distribution:
        """q(z; lambda(x))."""
        return self.at(model, self.parameters_of(model, x, **given))


def require_parametric(inference: Inference, what: str) -> Parametric:
    """The inference, if its q has variational parameters that can be moved.

    Args:
        inference: Of a model.
        what: Asks for them, for the message.

    Raises:
        ConfigurationError: It has none.
    """
    if not isinstance(inference, Parametric):
        raise ConfigurationError(
            f"{what} moves the variational parameters of q(z|x), and {type(inference).__name__} "
            "has none",
            hint="inference=amortized has some, also beside an exact model",
        )
    return inference
