"""The interface of evaluations: values for each datum, and a summary of the data set."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from jaxtyping import Float, Int64
from torch import Tensor

from vi.errors import ConfigurationError, require_positive
from vi.inputs import admitting
from vi.models.base import LatentVariableModel
from vi.options import Configurable

_MOST_SAMPLES = 10_000_000  # at a microsecond each, three hours for a thousand data


class Further(NamedTuple):
    """An evaluation of some of the data, whose columns take the place of the first ones there.

    ``share`` is the part of the remaining time that it is expected to take, for the progress bar.
    """

    evaluation: "Evaluation"
    rows: Int64[Tensor, " M"]
    share: float = 1.0


class Evaluation(Configurable, ABC):
    """A quantity of a trained model that is measured on held-out data.

    An implementer writes ``__call__``, which measures each datum, and ``summarize``, which reduces
    the columns of all data to a few numbers. Comes for free: x is checked and converted before
    ``__call__`` (``vi.inputs``), and ``vi.evaluate`` runs both over a split with noise that
    depends on the seed and the datum only.

    >>> import torch
    >>> from vi.models.ppca import PPCA
    >>> class SquaredError(Evaluation):
    ...     def __call__(self, model, x, **given):
    ...         return {"squared_error": (model.reconstruct(x, **given) - x).square().sum(1)}
    ...
    ...     def summarize(self, columns):
    ...         return {name: column.mean().item() for name, column in columns.items()}
    >>> columns = SquaredError()(PPCA((4,), latent_dim=2), torch.zeros(3, 4))
    >>> SquaredError().summarize(columns)
    {'squared_error': 0.0}
    """

    num_samples: int = 1
    """Number of draws for each datum, by which progress is reported."""

    units: ClassVar[Mapping[str, str]] = {}
    """Units, by name, of the numbers that are not in nats per datum."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__call__" in vars(cls):
            type.__setattr__(cls, "__call__", admitting(cls.__call__))  # past type checkers

    @abstractmethod
    def __call__(
        self, model: LatentVariableModel, x: Tensor, **given: Tensor
    ) -> dict[str, Float[Tensor, " B"]]:
        """Measure each datum of a batch.

        Args:
            model: The trained model, in evaluation mode.
            x: Data (B, *event).
            **given: What the model conditions on.

        Returns:
            Columns (B,) by name, in nats unless the name says otherwise.
        """

    def further(
        self, model: LatentVariableModel, columns: Mapping[str, Float[Tensor, " N"]]
    ) -> Further | None:
        """Say what to measure next, once all data are measured; None if nothing.

        It is asked again after each such pass, with the columns as they are then.
        """
        del model, columns
        return None

    def of_all(self, columns: Mapping[str, Float[Tensor, " N"]]) -> dict[str, Float[Tensor, " N"]]:
        """Return further columns of each datum, which depend on all data."""
        del columns
        return {}

    def share(self, model: LatentVariableModel, n: int) -> float:
        """Return which part of the time the first pass over n data takes, if others follow."""
        del model, n
        return 1.0

    def said(self, model: LatentVariableModel, numbers: Mapping[str, float]) -> list[str]:
        """Return sentences about the numbers, for the screen and the report."""
        del model, numbers
        return []

    @abstractmethod
    def summarize(self, columns: Mapping[str, Float[Tensor, " N"]]) -> dict[str, float]:
        """Reduce the columns (N,) of all data to the numbers of the data set, by name."""


def require_samples(num_samples: int) -> None:
    """Refuse a number of samples that is not positive, or above ten million.

    Raises:
        ConfigurationError: The number is out of this range.
    """
    require_positive("num_samples", num_samples)
    if num_samples > _MOST_SAMPLES:
        hours = num_samples * 1000 / 3.6e9
        raise ConfigurationError(
            f"num_samples={num_samples} takes {hours:.0f} hours or more for a thousand data",
            hint=f"at most {_MOST_SAMPLES}; papers usually report 5000",
        )
