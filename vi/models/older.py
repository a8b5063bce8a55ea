"""Models of version 0.1 that are an inference now; calling them returns the present model.

For files and command lines of version 0.1; to be removed with the next version.
"""

from typing import Any

from torch import nn

from vi.distributions.conditional import ConditionalDistribution
from vi.inference.amortized import Amortized
from vi.inference.per_datum import PerDatum
from vi.inference.refined import Refined
from vi.models.base import LatentVariableModel
from vi.models.exact import ExactModel
from vi.networks.base import NetworkFactory
from vi.refinement.base import Refinement


class AmortizedModel(LatentVariableModel):
    """An exact model with q(z|encoder(x)); now ``inference=amortized``.

    Args:
        model: Gives p(z) and p(x|z).
        encoder: Factory of the network before the posterior; None if the model has its inference.
        posterior: The head that gives q(z|x).
    """

    def __new__(cls, model: ExactModel, **parts: Any) -> Any:
        """Return the model itself, with an encoder as its inference."""
        if parts.get("encoder") is not None:
            model.infer_with(Amortized(**parts))
        return model

    def __init__(
        self,
        model: ExactModel,
        encoder: NetworkFactory | None = None,
        posterior: ConditionalDistribution | None = None,
    ) -> None:
        """Declare the arguments; never run, since ``__new__`` returns another class."""


class RefinedModel(LatentVariableModel):
    """A model whose q(z|x) is refined for each datum; now ``inference=refined``.

    Args:
        model: Gives p(x, z) and the initial q.
        refinement: The refinement steps.
        bound: Former objective of q; now q maximises the ELBO, and this is ignored.
        factor: Factor of the number of refinement steps.
        amortized: If False, the initial q does not depend on x; now ``inference=per_datum``.
    """

    def __new__(
        cls,
        model: LatentVariableModel,
        refinement: Refinement,
        factor: int = 1,
        *,
        amortized: bool = True,
        **_: Any,
    ) -> Any:
        """Return the model with the corresponding inference."""
        kind = Refined if amortized else PerDatum
        return model.with_inference(kind(model.inference, refinement, factor))

    def __init__(
        self,
        model: LatentVariableModel,
        refinement: Refinement,
        bound: nn.Module | None = None,
        factor: int = 1,
        *,
        amortized: bool = True,
    ) -> None:
        """Declare the arguments; never run, since ``__new__`` returns another class."""
