"""Initialisations of a mixture: the base class."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor

from vi.errors import DataError
from vi.options import Configurable


class Initialization(Configurable, ABC):
    """Method that chooses C distinct data as the initial centres of a mixture.

    An implementer writes ``centres`` and raises ``too_few`` if the data have fewer than C distinct
    rows. Random numbers come from torch's default generator.

    >>> import torch
    >>> class SmallestRows(Initialization):
    ...     def centres(self, x, num_components):
    ...         rows = x.unique(dim=0)
    ...         if len(rows) < num_components:
    ...             raise too_few(num_components, len(rows))
    ...         return rows[:num_components]
    >>> SmallestRows().centres(torch.tensor([[2.0], [1.0], [2.0]]), 2)
    tensor([[1.],
            [2.]])
    """

    @abstractmethod
    def centres(self, x: Float[Tensor, "N D"], num_components: int) -> Float[Tensor, "C D"]:
        """Return C distinct rows of x, (C, D).

        Args:
            x: Data, (N, D).
            num_components: C.

        Raises:
            DataError: x has fewer than C distinct rows.
        """


def too_few(num_components: int, num_distinct: int) -> DataError:
    """Return the error for more components than distinct data."""
    return DataError(
        f"{num_components} components are more than the {num_distinct} different training data",
        hint=f"model.num_components={num_distinct} or less",
    )
