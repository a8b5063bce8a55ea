"""The base of all data sets of grey pictures."""

from abc import abstractmethod
from typing import Literal

from vi.data.base import DataSet, LoadedData
from vi.data.missing import hide, require_hidden
from vi.data.source import Source, assemble


class GreyImages(DataSet):
    """Abstract: pictures whose grey levels may be interpreted as probabilities of bits.

    An implementer writes ``read``; binarisation, hidden pixels, contexts and facts come for free.

    Args:
        binarize: ``dynamic`` draws training bits at every visit and evaluation bits once,
            ``static`` draws all bits once, the same for every run, ``none`` keeps x in [0, 1].
        hidden_fraction: How much of the pixels of every split is hidden at random, a function of
            (split_seed, split, datum): the model trains without them, ``python -m vi impute``
            compares what it makes of them with the truth.

    Raises:
        ConfigurationError: ``hidden_fraction`` is not in [0, 1).
    """

    renamed = {"hidden": "hidden_fraction"}
    split_seed: int = 0

    def __init__(
        self, binarize: Literal["dynamic", "static", "none"], hidden_fraction: float = 0.0
    ) -> None:
        require_hidden(hidden_fraction)
        self.binarize = binarize
        self.hidden_fraction = hidden_fraction

    @abstractmethod
    def read(self) -> Source:
        """Return the grey levels of every split, as bytes.

        Raises:
            DataError: The files are missing, damaged or not what they should be.
        """

    def load(self, seed: int = 0) -> LoadedData:
        """Read the files, hide pixels and binarise."""
        source = hide(self.read(), self.hidden_fraction, self.split_seed)
        return assemble(source, seed=seed, binarize=self.binarize)
