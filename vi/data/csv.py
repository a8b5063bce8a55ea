"""A user's own table of numbers."""

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from vi.data.base import DataSet, LoadedData
from vi.data.columns import columns_facts
from vi.data.missing import mask_nan
from vi.data.partition import require_fractions
from vi.data.precision import floating
from vi.data.reading.csv_table import Table, read_table
from vi.data.reading.files import file_facts, read, user_path
from vi.data.source import Items, assemble, random_source
from vi.errors import ConfigurationError, DataError

_SHOWN = 6


class CSV(DataSet):
    """A text table with one item per row, (D,) floating point, split at random.

    Cells are separated by commas, semicolons or tabs; the file may be a .gz. A missing value
    (empty, NA, null, none, ?) becomes NaN; its row is kept.

    Args:
        path: The file.
        columns: Names of the columns of x. None takes all but the label and a first column without
            a name that numbers the rows. Without a header the names are numbers from 0.
        label: Name of the column with labels, which is not part of x.
        context: ``label`` gives the label as ``given["context"]``, one-hot over its sorted values.
        validation_fraction: Fraction of the rows; 0 gives no validation split.
        test_fraction: Fraction of the rows; 0 makes the training rows the test split.
        split_seed: Seed of the random split. It is independent of the run's seed, so that runs are
            comparable.
        missing: ``refuse`` stops training with the number of an item that has missing values;
            ``mask`` excludes missing values from the likelihood.

    Raises:
        ConfigurationError: The fractions leave no training data, the context has no label, a
            column does not exist, or ``columns`` is empty or has duplicates.
        DataError: The file cannot be read, a column is not numeric, or a column has no value in
            the training data.
    """

    def __init__(
        self,
        path: str,
        columns: list[str] | None = None,
        label: str | None = None,
        context: Literal["label"] | None = None,
        validation_fraction: float = 0.1,
        test_fraction: float = 0.1,
        split_seed: int = 0,
        missing: Literal["refuse", "mask"] = "refuse",
    ) -> None:
        require_fractions(validation_fraction, test_fraction)
        if context and not label:
            raise ConfigurationError(
                "data.context=label needs data.label", hint="data.label=NAME of a column"
            )
        _require_columns(columns, label)
        self.path, self.columns, self.label, self.context = path, columns, label, context
        self.fractions = (validation_fraction, test_fraction)
        self.split_seed = split_seed
        self.missing = missing

    def load(self, seed: int = 0) -> LoadedData:
        """Read the table and split its rows; ``seed`` has no effect."""
        contents = read(user_path(self.path))
        table = read_table(contents)
        names = self._names(table)
        x = np.stack([table.numbers(name) for name in names], axis=1)
        classes, labels = self._labels(table)
        items = Items(floating(x), labels)
        source = random_source(
            mask_nan(items) if self.missing == "mask" else items,
            contents.path,
            fractions=self.fractions,
            seed=self.split_seed,
            facts={**self._facts(table, names, x), **file_facts([contents])},
            num_classes=classes,
        )
        return assemble(source)

    def _names(self, table: Table) -> list[str]:
        """Return the names of the columns of x."""
        asked = [*(self.columns or []), *([self.label] if self.label else [])]
        unknown = next((name for name in asked if name not in table.names), None)
        if unknown is not None:
            raise ConfigurationError(
                f"{table.path} has no column {unknown!r}", hint=f"it has {', '.join(table.names)}"
            )
        names = self.columns or [n for n in table.names if n not in (self.label, table.index)]
        if self.columns is None and table.index not in (None, self.label):
            _warn_of_index(table, names)
        if not names:
            raise ConfigurationError(
                f"{table.path} has no column but the label", hint="data.label=null"
            )
        return list(names)

    def _labels(self, table: Table) -> tuple[int, Int64[Tensor, " N"] | None]:
        """Return the number of classes and the class of each row.

        Classes are sorted as numbers if all labels are numbers, otherwise as text.
        """
        if not (self.context and self.label):
            return 0, None
        missing = np.flatnonzero(table.missing(self.label))
        if len(missing):
            raise DataError(
                f"{len(missing)} items have no label (first: line {table.lines[missing[0]]})",
                hint=f"fill column {self.label!r}, or data.context=null",
            )
        numeric = self.label in table.numeric()
        values = table.numbers(self.label) if numeric else table.text(self.label)
        classes, labels = np.unique(values, return_inverse=True)
        return len(classes), torch.from_numpy(labels.astype(np.int64))

    def _facts(self, table: Table, names: list[str], x: np.ndarray) -> dict[str, Any]:
        facts: dict[str, Any] = {"data/name": "csv", **columns_facts(names)}
        missing = np.isnan(x)
        if missing.any():
            facts["data/n_missing"] = int(missing.sum())
            facts["data/first_missing_line"] = int(table.lines[missing.any(1)][0])
        return facts


def _require_columns(columns: Sequence[str] | None, label: str | None) -> None:
    """Refuse an empty list of columns, duplicates, and the label among them."""
    if columns is None:
        return
    if not columns:
        raise ConfigurationError(
            "data.columns names no column", hint="data.columns=null takes all but the label"
        )
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        raise ConfigurationError(
            f"data.columns names {twice[0]!r} more than once", hint="name every column once"
        )
    if label in columns:
        raise ConfigurationError(
            f"data.columns names the label {label!r}, which cannot be part of x",
            hint="leave it out of data.columns, or data.label=null",
        )


def _warn_of_index(table: Table, names: Sequence[str]) -> None:
    """Warn that a first column that numbers the rows is not part of x."""
    shown = ",".join([str(table.index), *names][:_SHOWN])
    more = ",..." if len(names) >= _SHOWN else ""
    warnings.warn(
        f"the first column of {table.path} has no name and numbers the rows: it is left out of x; "
        f"data.columns=[{shown}{more}] includes it",
        stacklevel=4,
    )
