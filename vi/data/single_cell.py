"""Counts of gene transcripts in single cells."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from vi.data.base import DataSet, LoadedData
from vi.data.columns import columns_facts
from vi.data.partition import require_fractions
from vi.data.reading.files import KnownFile, data_dir, file_facts, read_known
from vi.data.reading.npz_file import read_npz
from vi.data.source import Items, Source, assemble, random_source
from vi.errors import ConfigurationError


class SingleCell(DataSet, ABC):
    """Abstract: the count of each gene in each cell, (G,) whole numbers, as stored.

    ``given["exposure"]`` (B,) is the total count of a cell divided by the mean total of the
    training cells. A likelihood of counts scales its rates by it, so that z need not encode which
    part of a cell's transcripts was captured.

    An implementer sets name and file, and writes ``counts``.

    Args:
        dir: The data folder; None means VI_DATA_DIR, else ``data``.
        context: ``label`` gives the kind of a cell as ``given["context"]``, one-hot; ``batch``
            gives the batch in which it was measured, if the file has it.
        exposure: ``total`` gives the exposure, ``none`` does not.
        validation_fraction: Fraction of the cells; 0 gives no validation split.
        test_fraction: Fraction of the cells; 0 makes the training cells the test split.
        split_seed: Seed of the random split. It is independent of the run's seed, so that runs are
            comparable.

    Raises:
        ConfigurationError: The fractions leave no training data, or the file does not have the
            ``context``.
        DataError: The file is missing or damaged.
    """

    name: ClassVar[str]
    file: ClassVar[KnownFile]

    def __init__(
        self,
        dir: str | None = None,
        context: Literal["label", "batch"] | None = None,
        exposure: Literal["total", "none"] = "total",
        validation_fraction: float = 0.1,
        test_fraction: float = 0.1,
        split_seed: int = 0,
    ) -> None:
        require_fractions(validation_fraction, test_fraction)
        self.dir, self.context, self.exposure = dir, context, exposure
        self.fractions = (validation_fraction, test_fraction)
        self.split_seed = split_seed

    @abstractmethod
    def counts(self, arrays: Mapping[str, np.ndarray]) -> Tensor:
        """Return the counts (cells, genes) from the arrays of the file."""

    def load(self, seed: int = 0) -> LoadedData:
        """Read the counts and split the cells; ``seed`` has no effect."""
        contents = read_known(self.name, data_dir(self.dir), self.file)
        arrays = read_npz(contents)
        num_classes, labels = self._labels(arrays)
        source = random_source(
            Items(self.counts(arrays), labels),
            contents.path,
            fractions=self.fractions,
            seed=self.split_seed,
            facts={"data/name": self.name, **_gene_names(arrays), **file_facts([contents])},
            num_classes=num_classes,
        )
        return assemble(_with_exposure(source) if self.exposure == "total" else source)

    def _labels(self, arrays: Mapping[str, np.ndarray]) -> tuple[int, Int64[Tensor, " N"] | None]:
        """Return the number of classes, and the class of each cell, sorted by value."""
        if self.context is None:
            return 0, None
        if self.context not in arrays:
            raise ConfigurationError(
                f"{self.name} has no data.context={self.context}", hint="data.context=label"
            )
        classes, labels = np.unique(arrays[self.context], return_inverse=True)
        return len(classes), torch.from_numpy(labels.astype(np.int64))


def _gene_names(arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    """The facts that name the columns, where the file does."""
    return columns_facts([str(name) for name in arrays.get("gene_names", ())])


def _with_exposure(source: Source) -> Source:
    """Return the source with the exposure of every cell, and the mean total as a fact."""
    mean = _totals(source.train).double().mean()

    def scaled(items: Items) -> Items:
        exposure = (_totals(items) / mean).to(torch.get_default_dtype())
        return replace(items, given={"exposure": exposure})

    val = None if source.val is None else scaled(source.val)
    facts = {**source.facts, "data/mean_total": mean.item()}
    train, test = scaled(source.train), scaled(source.test)
    return replace(source, train=train, val=val, test=test, facts=facts)


def _totals(items: Items) -> Int64[Tensor, " N"]:
    """Return the total count of each cell."""
    return items.stored.sum(-1, dtype=torch.int64)


class SMFish(SingleCell):
    """33 genes in 4,530 cells of the mouse's somatosensory cortex, by osmFISH, up to 342 counts.

    Codeluppi et al. 2018, https://doi.org/10.1038/s41592-018-0175-z. Arguments and errors are
    those of ``SingleCell``; ``context`` is ``label`` (six kinds) or ``batch`` (one). The data
    folder contains ``single_cell/smfish_counts.npz``.

    >>> SMFish().arguments["exposure"]
    'total'
    """

    name = "smfish"
    file = KnownFile(
        "single_cell/smfish_counts.npz",
        "3142f03c998ef59257b9e9b0cf200da31a22d99a73a93ef14cf64731dd660d95",
    )

    def counts(self, arrays: Mapping[str, np.ndarray]) -> Tensor:
        """Return the array ``counts``."""
        return torch.from_numpy(arrays["counts"].astype(np.int32))


class WormNeurons(SingleCell):
    """Neurons of the worm C. elegans: 4,186 cells, 98.6 % of the entries zero.

    Cao et al. 2017, https://doi.org/10.1126/science.aam8940; the cells are those used by Tian et
    al. 2019, https://doi.org/10.1038/s42256-019-0037-0. Arguments and errors are those of
    ``SingleCell``. The data folder contains ``single_cell/worm_neuron_counts_csr.npz``.

    >>> WormNeurons(exposure="none").arguments["exposure"]
    'none'
    """

    name = "worm_neurons"
    file = KnownFile(
        "single_cell/worm_neuron_counts_csr.npz",
        "9af832801dc786772e4036aaf878134ffca54a2fcadc7ac3164de00ab3b0401d",
    )

    def counts(self, arrays: Mapping[str, np.ndarray]) -> Tensor:
        """Expand compressed sparse rows to a dense array with a byte for each entry."""
        cells, genes = arrays["shape"]
        dense = np.zeros((cells, genes), np.uint8)
        rows = np.repeat(np.arange(cells), np.diff(arrays["indptr"]))
        dense[rows, arrays["indices"]] = arrays["data"]
        return torch.from_numpy(dense)
