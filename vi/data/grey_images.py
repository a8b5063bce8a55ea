"""What all data sets of grey pictures share."""

from abc import abstractmethod
from typing import Literal

from vi.data.base import DataSet, LoadedData
from vi.data.source import Source, assemble


class GreyImages(DataSet):
    """Abstract: pictures whose grey levels may be read as probabilities of bits.

    An implementer writes ``read``; binarisation, contexts and facts come for free.

    Args:
        binarize: ``dynamic`` draws training bits anew at every visit and evaluation bits once,
            ``static`` draws all bits once, the same for every run, ``none`` keeps x in [0, 1].
    """

    def __init__(self, binarize: Literal["dynamic", "static", "none"]) -> None:
        self.binarize = binarize

    @abstractmethod
    def read(self) -> Source:
        """The grey levels of every split, as bytes.

        Raises:
            DataError: The files are missing, damaged or not what they should be.
        """

    def load(self, seed: int = 0) -> LoadedData:
        """Read the files and binarise."""
        return assemble(self.read(), seed=seed, binarize=self.binarize)
