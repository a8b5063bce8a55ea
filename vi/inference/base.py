"""The interface of inference: a model and x in, q(z|x) out."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.prior import Prior
from vi.errors import ConfigurationError
from vi.evaluations import tallying
from vi.options import Configurable

Generative = Any
"""A ``LatentVariableModel``, whose class is defined on a higher floor. Inference uses its
``prior``, ``likelihood``, ``log_joint`` and ``encoder_input``.
"""


class Inference(Configurable, nn.Module, ABC):
    """A way to compute q(z|x) for a model, which is passed at every call and never stored.

    An implementer writes ``forward``, and in addition

    * ``set_up`` if networks need sizes from the model;
    * ``own_parameters`` if some parameters in it belong to the model;
    * ``first`` if q is refined from a simpler q.

    Comes for free: use with every bound, scheme and evaluation that the resulting q allows, and
    ``networks``, for precision and compilation.

    >>> from vi.models.ppca import PPCA
    >>> class PriorInference(Inference):
    ...     def forward(self, model, x, **given):
    ...         return model.prior(**given).expand((len(x),))
    >>> model = PPCA((4,), latent_dim=2, inference=PriorInference())
    >>> model.posterior(torch.zeros(3, 4)).batch_shape
    torch.Size([3])
    """

    passes: int = 1
    """Number of times that the networks process each datum; ``Evaluations`` counts them."""

    def set_up(self, model: Generative, prior: Prior | Distribution) -> None:
        """Make the networks, once the model has its sizes. The model calls this once.

        Args:
            model: Has ``data_shape``, ``context_dim`` and ``latent_dtype`` by now.
            prior: Has the shape and the support of z.

        Raises:
            ConfigurationError: q and p(z) have different supports or shapes, or a network is
                already built where a recipe for one is needed.
        """

    @abstractmethod
    def forward(self, model: Generative, x: Tensor, **given: Tensor) -> Distribution:
        """Return q(z|x) for x (B, *event), with batch_shape (B,)."""

    if TYPE_CHECKING:

        def __call__(self, model: Generative, x: Tensor, **given: Tensor) -> Distribution:
            """See ``forward``."""
            ...

    def first(self, model: Generative, x: Tensor, **given: Tensor) -> Distribution:
        """Return q(z|x) before refinement; a prior that mixes posteriors uses it."""
        return self(model, x, **given)

    def own_parameters(self) -> list[nn.Parameter]:
        """Return phi, the parameters of q(z|x), which an E-step updates; empty if q is exact."""
        return list(self.parameters())

    def initialize(self, model: Generative, x: Tensor, **given: Tensor) -> None:
        """Initialise from training data (N, *event), NaN where missing, after the model."""

    def networks(self) -> Iterator[nn.Module]:
        """Yield the networks: the submodules with parameters that are not heads."""
        for child in self.children():
            if isinstance(child, Inference):
                yield from child.networks()
            elif not isinstance(child, ConditionalDistribution):
                parts = child if isinstance(child, nn.ModuleList) else [child]
                yield from (part for part in parts if next(part.parameters(), None) is not None)


class Parametric(Inference):
    """q(z; lambda) with variational parameters lambda for each datum, which can be optimised.

    An implementer writes ``parameters_of``, which computes lambda(x), and ``at``, which turns
    lambda into q; also ``start`` and ``shared_parameters`` if the family of q has its own. Comes
    for free: ``forward``, and use in every scheme and evaluation that refines q (``SVI``,
    ``SemiAmortised``, ``InferenceGaps``).
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "parameters_of" in vars(cls):
            method = tallying("parameters_of", vars(cls)["parameters_of"])
            type.__setattr__(cls, "parameters_of", method)  # past type checkers

    @abstractmethod
    def parameters_of(self, model: Generative, x: Tensor, **given: Tensor) -> Tensor:
        """Return lambda(x), (B, *P), for x (B, *event)."""

    @abstractmethod
    def at(self, model: Generative, parameters: Tensor) -> Distribution:
        """Return q(z; lambda), batch_shape (B,), for lambda (B, *P)."""

    def start(self, like: Tensor) -> Tensor:
        """Return the start of a free q: a lambda that ignores x, shaped like ``like`` (B, *P)."""
        return torch.zeros_like(like)

    def shared_parameters(self) -> list[nn.Parameter]:
        """Return the part of phi that ``at`` uses: the parameters that the q of all data share."""
        return []

    @property
    def family(self) -> "Parametric":
        """The same family q(z; lambda), with lambda from an encoder and no refinement."""
        return self

    def forward(self, model: Generative, x: Tensor, **given: Tensor) -> Distribution:
        """Return q(z; lambda(x))."""
        return self.at(model, self.parameters_of(model, x, **given))


def require_parametric(inference: Inference, what: str) -> Parametric:
    """Return the inference if its q has variational parameters.

    Args:
        inference: The inference of a model.
        what: Name of the object that needs them, for the message.

    Raises:
        ConfigurationError: It has no variational parameters.
    """
    if not isinstance(inference, Parametric):
        raise ConfigurationError(
            f"{what} needs variational parameters of q(z|x), and {type(inference).__name__} "
            "has none",
            hint="use inference=amortized, which an exact model also accepts",
        )
    return inference
