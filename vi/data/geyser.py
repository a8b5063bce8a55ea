"""Old Faithful: 272 eruptions of a geyser."""

from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from vi.data.base import DataSet, LoadedData
from vi.data.columns import columns_facts
from vi.data.partition import require_fractions
from vi.data.precision import floating
from vi.data.reading.csv_table import Table, read_table
from vi.data.reading.files import KnownFile, data_dir, file_facts, read_known
from vi.data.source import Items, assemble, random_source

_COLUMNS, _UNITS = ("duration", "waiting"), ("min", "min")
_KINDS = 2  # long and short, in this order


class Geyser(DataSet):
    """(duration, waiting) of 272 eruptions in minutes, (2,), split at random: 192 / 40 / 40.

    Azzalini & Bowman 1990, https://doi.org/10.2307/2347385.

    Args:
        dir: The data folder; None means VI_DATA_DIR, else ``data``. It contains
            ``geyser/geyser.csv``.
        context: ``label`` gives the kind of eruption, long or short, as ``given["context"]``,
            one-hot.
        validation_fraction: Fraction of the eruptions; 0 gives no validation split.
        test_fraction: Fraction of the eruptions; 0 makes the training data the test split, as for
            a mixture fitted to all points.
        split_seed: Seed of the random split. It is independent of the run's seed, so that runs are
            comparable.

    Raises:
        ConfigurationError: The fractions leave no training data.
        DataError: The file is missing or damaged.
    """

    file = KnownFile(
        "geyser/geyser.csv", "ce8f6bd15967c9a3dee345aaf268f6b92623abb1e1d313e04d79b720aa6b8bd6"
    )

    def __init__(
        self,
        dir: str | None = None,
        context: Literal["label"] | None = None,
        validation_fraction: float = 0.147,
        test_fraction: float = 0.147,
        split_seed: int = 0,
    ) -> None:
        require_fractions(validation_fraction, test_fraction)
        self.dir, self.context = dir, context
        self.fractions = (validation_fraction, test_fraction)
        self.split_seed = split_seed

    def load(self, seed: int = 0) -> LoadedData:
        """Read the table and split its rows; ``seed`` has no effect."""
        contents = read_known("Old Faithful", data_dir(self.dir), self.file)
        table = read_table(contents)
        x = np.stack([table.numbers(name) for name in _COLUMNS], axis=1)
        labels = _kinds(table) if self.context else None
        facts: dict[str, Any] = {"data/name": "geyser", **columns_facts(_COLUMNS, _UNITS)}
        source = random_source(
            Items(floating(x), labels),
            contents.path,
            fractions=self.fractions,
            seed=self.split_seed,
            facts={**facts, **file_facts([contents])},
            num_classes=_KINDS,
        )
        return assemble(source)


def _kinds(table: Table) -> Int64[Tensor, " N"]:
    """Return 0 for long and 1 for short eruptions."""
    return torch.from_numpy((table.text("kind") == "short").astype(np.int64))
