"""The role of an evaluation: a number per datum, and what to say of a whole data set."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor

from vi.inputs import admitting
from vi.models.base import LatentVariableModel
from vi.options import Option


class Evaluation(Option, ABC):
    """Something that can be measured of a trained model on held-out data.

    An implementer writes ``__call__`` and ``summarize``; x is looked at before (``vi.inputs``).
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__call__" in vars(cls):
            cls.__call__ = admitting(cls.__call__)

    @abstractmethod
    def __call__(
        self, model: LatentVariableModel, x: Tensor, **given: Tensor
    ) -> dict[str, Float[Tensor, " B"]]:
        """Measure each datum of a batch; columns by name, in nats unless named otherwise."""

    @abstractmethod
    def summarize(self, columns: Mapping[str, Float[Tensor, " N"]]) -> dict[str, float]:
        """The numbers of a data set from the columns of all its data."""
