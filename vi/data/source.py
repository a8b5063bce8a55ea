"""From the content of files to the splits of a data set."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Int64, Integer
from torch import Tensor

from vi.data.base import LoadedData, Split
from vi.data.binarize import split_of
from vi.data.partition import held_out, permutation, require_items
from vi.data.reading.memory import require_memory
from vi.errors import DataError


@dataclass(frozen=True)
class Items:
    """Items of a data set, with all that belongs to them.

    Args:
        stored: Their values, (N, *event).
        labels: Classes from 0 to C - 1, (N,).
        given: Other conditioning variables by name, with a row for each item.
        observed: False at missing entries, (N, *event); None if nothing is missing.

    >>> items = Items(torch.tensor([[1.0], [2.0], [3.0]]), labels=torch.tensor([0, 1, 0]))
    >>> items.take(slice(1, 3)).labels
    tensor([1, 0])
    """

    stored: Tensor
    labels: Int64[Tensor, " N"] | None = None
    given: Mapping[str, Tensor] = field(default_factory=dict)
    observed: Bool[Tensor, " N *event"] | None = None

    def __len__(self) -> int:
        return len(self.stored)

    def take(self, index: Integer[Tensor, " n"] | slice) -> "Items":
        """Return the items at these positions."""
        labels = None if self.labels is None else self.labels[index]
        given = {name: column[index] for name, column in self.given.items()}
        observed = None if self.observed is None else self.observed[index]
        return Items(self.stored[index], labels, given, observed)


@dataclass(frozen=True)
class Source:
    """The items of every split as their files give them.

    A data set reads its files into a ``Source``, and ``assemble`` makes the splits of it, in the
    same way for all data sets.

    Args:
        train: The training items.
        val: The validation items, or None.
        test: The test items.
        levels: The largest grey level, which stands for 1; 1 for bits and floating-point data.
        num_classes: Number of classes of the labels, if there are labels.
        facts: The files and how they were split; ``data/name`` is required.
    """

    train: Items
    val: Items | None
    test: Items
    levels: int = 1
    num_classes: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)


def random_parts(
    items: Items, *, validation: int, test: int, seed: int
) -> tuple[Items, Items | None, Items]:
    """Split at random by a fixed permutation: training, then validation, then test items.

    With ``test = 0`` the test split is the training data, as for a mixture fitted to all points;
    the facts must then state it.

    Args:
        items: All items.
        validation: Number of validation items; 0 gives None.
        test: Number of test items.
        seed: Seed of the permutation.

    Returns:
        The training, validation and test items.

    >>> parts = random_parts(Items(torch.zeros(10, 2)), validation=2, test=3, seed=0)
    >>> [len(part) for part in parts]
    [5, 2, 3]
    """
    order = permutation(len(items), seed)
    n = len(items) - validation - test
    train = items.take(order[:n])
    val = items.take(order[n : n + validation]) if validation else None
    return train, val, items.take(order[n + validation :]) if test else train


def random_source(
    items: Items,
    where: Path,
    *,
    fractions: tuple[float, float],
    seed: int,
    facts: Mapping[str, Any],
    levels: int = 1,
    num_classes: int = 0,
) -> Source:
    """Return the source of a user's own items, split at random.

    Args:
        items: All items.
        where: The file or folder, for messages.
        fractions: Fractions of the validation and test items.
        seed: Seed of the split.
        facts: Facts of the files.
        levels: The largest grey level.
        num_classes: Number of classes of the labels.

    Raises:
        DataError: There are too few items to fill every split.
    """
    validation, test = (held_out(len(items), fraction) for fraction in fractions)
    require_items(len(items), 1 + (validation > 0) + (test > 0), where)
    train, val, rest = random_parts(items, validation=validation, test=test, seed=seed)
    told = f"random, seed {seed}" + ("" if test else "; the test split is the training split")
    facts = {**facts, "data/split": told}
    return Source(train, val, rest, levels, num_classes, facts)


def assemble(source: Source, *, seed: int = 0, binarize: str = "none") -> LoadedData:
    """Make the splits: binarised as configured, with one-hot contexts and all facts.

    Args:
        source: The content of the files.
        seed: Seed of the bits of validation and test data under dynamic binarisation.
        binarize: dynamic, static or none.

    Returns:
        The splits, with the facts of the source and those that all data sets report.

    Raises:
        DataError: A split has no items, or an entry is missing in all training data.
        ConfigurationError: The data have no grey levels and are to be binarised.

    >>> items = Items(torch.zeros(4, 2), labels=torch.tensor([0, 1, 2, 0]))
    >>> data = assemble(Source(items, None, items, num_classes=3, facts={"data/name": "zeros"}))
    >>> data.shape, data.context_dim, data.train.batch(torch.tensor([1])).given["context"]
    ((2,), 3, tensor([[0., 1., 0.]]))
    """
    _require_seen(source)
    parts = {"train": source.train, "val": source.val, "test": source.test}
    splits = {
        name: None if items is None else _split(items, source, number, seed, binarize)
        for number, (name, items) in enumerate(parts.items())
    }
    if source.test is source.train and binarize == "static":
        splits["test"] = splits["train"]
    train, test = splits["train"], splits["test"]
    assert train is not None
    assert test is not None
    labelled = source.train.labels is not None
    return LoadedData(
        train,
        splits["val"],
        test,
        shape=tuple(source.train.stored.shape[1:]),
        context_dim=source.num_classes if labelled else 0,
        facts=_facts(source, binarize),
    )


def _split(items: Items, source: Source, number: int, seed: int, binarize: str) -> Split:
    """Make one split."""
    if not len(items):
        raise DataError(
            f"{source.facts['data/name']}: a split holds no items", hint="check the data files"
        )
    given = dict(items.given)
    if items.labels is not None:
        given["context"] = one_hot(items.labels, source.num_classes)
    split = split_of(
        items.stored, given, levels=source.levels, binarize=binarize, number=number, seed=seed
    )
    return split if items.observed is None else split.with_observed(items.observed)


def _require_seen(source: Source) -> None:
    observed = source.train.observed
    if observed is None or not len(observed):
        return
    never = ~observed.any(0)
    if never.any():
        raise DataError(
            f"{source.facts['data/name']}: {int(never.sum())} of {never.numel()} entries of x are "
            f"missing in all {len(observed)} training data (first: entry "
            f"{int(never.flatten().nonzero()[0])})",
            hint="leave them out (data.columns=[...] of a table), or hide less: "
            "data.hidden_fraction=0.5",
        )


def one_hot(labels: Int64[Tensor, " N"], num_classes: int) -> Tensor:
    """Return labels (N,) as rows of a unit matrix, (N, C), floating point.

    Raises:
        DataError: The matrix does not fit into memory.

    >>> one_hot(torch.tensor([1, 0]), 2)
    tensor([[0., 1.],
            [1., 0.]])
    """
    rows, size = len(labels), torch.get_default_dtype().itemsize
    what = f"{rows} labels of {num_classes} kinds, one-hot,"
    require_memory(what, rows * num_classes * size, hint="fewer kinds, or data.context=null")
    return torch.zeros(rows, num_classes).scatter_(1, labels[:, None], 1.0)


def _facts(source: Source, binarize: str) -> dict[str, Any]:
    """Return the facts that every data set reports, with those of the source."""
    return {
        "data/n_train": len(source.train),
        "data/n_val": 0 if source.val is None else len(source.val),
        "data/n_test": len(source.test),
        "data/shape": "x".join(str(n) for n in source.train.stored.shape[1:]),
        "data/binarize": binarize,
        "data/levels": source.levels,
        **source.facts,
    }
