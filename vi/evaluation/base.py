"""The role of an evaluation: a number per datum, and what to say of a whole data set."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor

from vi.errors import ConfigurationError, require_positive
from vi.inputs import admitting
from vi.models.base import LatentVariableModel
from vi.options import Configurable

_MOST_SAMPLES = 10_000_000  # at a microsecond for each, three hours for a thousand data


class Evaluation(Configurable, ABC):
    """Something that can be measured of a trained model on held-out data.

    An implementer writes ``__call__`` and ``summarize``; x is looked at before (``vi.inputs``).
    ``num_samples`` are its draws for each datum.
    """

    num_samples: int = 1

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


def require_samples(num_samples: int) -> None:
    """Refuse a number of samples that is none, or that nobody would wait for.

    Raises:
        ConfigurationError: It is not positive, or above ten million.
    """
    require_positive("num_samples", num_samples)
    if num_samples > _MOST_SAMPLES:
        hours = num_samples * 1000 / 3.6e9
        raise ConfigurationError(
            f"num_samples={num_samples} takes {hours:.0f} hours or more for a thousand data",
            hint=f"at most {_MOST_SAMPLES}; 5000 are what papers report",
        )
