"""Names of older versions for what is now an inference; they give the model that is meant.

For files and command lines of version 0.1; to be removed with the next.
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
    """The exact model, with q(z|encoder(x)): now ``inference=amortized``.

    Args:
        model: Gives p(z) and p(x|z).
        encoder: Makes the network before the posterior; None if the model has its inference.
        posterior: The head that gives q(z|x).
    """

    def __new__(cls, model: ExactModel, **parts: Any) -> Any:
        """The model itself, which infers with an encoder."""
        if parts.get("encoder") is not None:
            model.infer_with(Amortized(**parts))
        return model

    def __init__(
        self,
        model: ExactModel,
        encoder: NetworkFactory | None = None,
        posterior: ConditionalDistribution | None = None,
    ) -> None:
        """Says which arguments there are; the object is of another class, and this is not run."""


class RefinedModel(LatentVariableModel):
    """The model with a q(z|x) that is refined for each datum: now ``inference=refined``.

    Args:
        model: Gives p(x, z) and the start.
        refinement: The steps.
        bound: What q once climbed; now it climbs the ELBO.
        factor: So many times as many steps as the refinement says.
        amortized: If not, the start knows nothing of x: now ``inference=per_datum``.
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
        """The model, with the inference that is meant."""
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
        """Says which arguments there are; the object is of another class, and this is not run."""
