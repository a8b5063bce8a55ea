"""The role of an initialisation."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor

from vi.errors import DataError
from vi.options import Configurable


class Initialization(Configurable, ABC):
    """A way to choose C different data as centres.

    An implementer writes ``centres``, and calls ``too_few`` where the data have fewer than C
    different rows. Chance comes from torch's default generator.
    """

    @abstractmethod
    def centres(self, x: Float[Tensor, "N D"], num_components: int) -> Float[Tensor, "C D"]:
        """C different rows of x.

        Raises:
            DataError: There are fewer.
        """


def too_few(num_components: int, num_distinct: int) -> DataError:
    """The error for more components than different data."""
    return DataError(
        f"{num_components} components are more than the {num_distinct} different training data",
        hint=f"model.num_components={num_distinct} or less",
    )
