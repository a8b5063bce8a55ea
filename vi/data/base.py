"""Data in memory: one tensor per split, from which a batch is a block of indices.

Data stay on the device for the whole run, as compact as their source stores them. Reading a batch
is an indexing operation, without worker processes or copies between devices.
"""

from abc import ABC, abstractmethod
from copy import copy
from dataclasses import dataclass, field, replace
from operator import is_not
from typing import Any, NamedTuple

import torch
from jaxtyping import Integer
from torch import Tensor

from vi.data.bits import draw_bits
from vi.options import Configurable

__all__ = ["Batch", "DataSet", "LoadedData", "Split", "Values"]


class Batch(NamedTuple):
    """The data of one step: ``x`` (B, *event), and what the model conditions on.

    ``index`` (B,) contains the rows of the items in their split.
    """

    x: Tensor
    given: dict[str, Tensor]
    index: Tensor | None = None


class Split(ABC):
    """One part of a data set, on one device.

    An implementer writes ``values``. ``stored`` contains the data as their source gives them
    (bytes if the source has bytes, doubles if it needs them), and ``given`` a tensor with N rows
    for each conditioning variable. ``observed`` (N, *event) is False at missing entries; None
    means that nothing is missing. A batch has 0 at missing entries, and ``given["observed"]``
    marks them.

    Args:
        stored: The data, (N, ...).
        given: Tensors with N rows by name.
    """

    observed: Tensor | None = None

    def __init__(self, stored: Tensor, given: dict[str, Tensor] | None = None) -> None:
        self.stored = stored
        self.given = given or {}

    def __len__(self) -> int:
        return len(self.stored)

    @abstractmethod
    def values(self, index: Integer[Tensor, " B"]) -> Tensor:
        """Return the data x at ``index`` (B,): (B, *event), in doubles if ``stored`` is."""

    def batch(self, index: Integer[Tensor, " B"]) -> Batch:
        """Return the items at ``index`` (B,), on the device of the split."""
        given = {name: value.index_select(0, index) for name, value in self.given.items()}
        x = self.values(index)
        if self.observed is not None:
            given["observed"] = self.observed.index_select(0, index)
            x = x.where(given["observed"], x.new_zeros(()))
        return Batch(x, given, index)

    def spread(self, n: int) -> Integer[Tensor, " n"]:
        """Return n evenly spaced indices, since files are often sorted by class.

        If n is the number of data, these are all of them in order; if n is larger, some repeat.
        """
        return torch.arange(n, device=self.stored.device) * len(self) // n

    def taken(self, index: Integer[Tensor, " n"]) -> "Split":
        """Some of the data as a split of their own."""
        split = copy(self)
        split.stored = self.stored[index]
        split.given = {name: value[index] for name, value in self.given.items()}
        if self.observed is not None:
            split.observed = self.observed[index]
        return split

    def with_observed(self, observed: Tensor) -> "Split":
        """Return the same data with missing entries, where ``observed`` (N, *event) is False."""
        split = copy(self)
        split.observed = observed
        return split

    def frozen(self, seed: int) -> "Split":
        """Return data that are the same at every visit, a function of (seed, datum).

        Most splits already are, and return themselves.
        """
        del seed
        return self

    def viewed(self, shape: tuple[int, ...]) -> "Split":
        """Return the same data with another event shape of equal size."""
        split = copy(self)
        split.stored = self.stored.reshape(len(self), *shape)
        if self.observed is not None:
            split.observed = self.observed.reshape(len(self), *shape)
        return split

    def in_precision(self, dtype: torch.dtype) -> "Split":
        """Return the same data with floating-point numbers of this type; bytes remain bytes."""
        if not self.stored.is_floating_point() or self.stored.dtype == dtype:
            return self
        split = copy(self)
        split.stored = self.stored.to(dtype)
        return split

    def to(self, device: torch.device | str) -> "Split":
        """Move the split to another device and return it."""
        self.stored = self.stored.to(device)
        self.given = {k: v.to(device) for k, v in self.given.items()}
        if self.observed is not None:
            self.observed = self.observed.to(device)
        return self


class Values(Split):
    """Stored values divided by their number of levels: x = stored / levels.

    Args:
        stored: The data, (N, *event).
        given: Tensors with N rows by name.
        levels: 255 for grey bytes, 1 for bits and for floating-point data.

    >>> Values(torch.tensor([[0, 255]], dtype=torch.uint8), levels=255).values(torch.tensor([0]))
    tensor([[0., 1.]])
    """

    def __init__(
        self, stored: Tensor, given: dict[str, Tensor] | None = None, *, levels: int = 1
    ) -> None:
        super().__init__(stored, given)
        self.levels = levels

    def values(self, index: Integer[Tensor, " B"]) -> Tensor:
        """Return these items divided by the number of levels, (B, *event)."""
        dtype = torch.promote_types(self.stored.dtype, torch.get_default_dtype())
        x = self.stored.index_select(0, index).to(dtype)
        return x if self.levels == 1 else x / self.levels


class DynamicBits(Split):
    """Fresh bits at every visit: x ~ Bernoulli(stored / levels), from the current random state.

    Args:
        stored: Grey levels as bytes, (N, *event).
        given: Tensors with N rows by name.
        levels: The grey level at which a bit is always 1.
    """

    def __init__(
        self, stored: Tensor, given: dict[str, Tensor] | None = None, *, levels: int = 255
    ) -> None:
        super().__init__(stored, given)
        self.levels = levels
        self._frozen: tuple[int, tuple[Tensor, Tensor | None], Values] | None = None

    def values(self, index: Integer[Tensor, " B"]) -> Tensor:
        """Return new bits for these items, (B, *event)."""
        return draw_bits(self.stored.index_select(0, index), self.levels)

    def frozen(self, seed: int) -> Values:
        """Return a split with bits drawn once; the same object for the same seed."""
        known, ours = self._frozen, (self.stored, self.observed)
        if known is None or known[0] != seed or any(map(is_not, known[1], ours)):
            known = self._frozen = (seed, ours, self._drawn(seed))
        return known[2]

    def _drawn(self, seed: int) -> Values:
        """Draw the bits of all items from a generator with this seed."""
        generator = torch.Generator().manual_seed(seed)
        u = torch.randint(
            0, self.levels, self.stored.shape, dtype=torch.uint8, generator=generator
        )
        bits = Values((u.to(self.stored.device) < self.stored).to(torch.uint8), self.given)
        bits.observed = self.observed
        return bits


@dataclass(frozen=True)
class LoadedData:
    """The splits of a data set, and the facts that hold for all of them.

    Args:
        train: The training data.
        val: The data for early stopping and for the choice of ``best``; None if the user wants
            none.
        test: The data for the reported numbers.
        shape: Event shape of x; (channels, height, width) for images.
        context_dim: Width of ``given["context"]``, 0 if there is none.
        facts: What must accompany every number, as flat plain values: name, sizes of the splits,
            preprocessing, checksums of the files.
        option: The data set from which this was loaded, for loading it again.
    """

    train: Split
    val: Split | None
    test: Split
    shape: tuple[int, ...]
    context_dim: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    option: "DataSet | None" = None

    def limited(self, number: int) -> "LoadedData":
        """At most so many data of each split, spread evenly."""

        def few(split: Split) -> Split:
            return split if len(split) <= number else split.taken(split.spread(number))

        val = None if self.val is None else few(self.val)
        return replace(self, train=few(self.train), val=val, test=few(self.test))

    def viewed(self, shape: tuple[int, ...], *, doubles: bool = True) -> "LoadedData":
        """Return the same data with another event shape of equal size.

        Args:
            shape: Event shape of one datum.
            doubles: Whether data in double precision remain so; otherwise they are converted to
                the default precision.
        """

        def seen(split: Split) -> Split:
            split = split.viewed(shape)
            return split if doubles else split.in_precision(torch.get_default_dtype())

        val = None if self.val is None else seen(self.val)
        return replace(
            self, train=seen(self.train), val=val, test=seen(self.test), shape=tuple(shape)
        )


class DataSet(Configurable, ABC):
    """A data set by name.

    An implementer writes ``load``. Comes for free: the arguments of the constructor are the
    options ``data.*`` of the command line and are saved in ``config.json``; batches, devices,
    checks of the data against the likelihood, and evaluation over any split.

    >>> class Line(DataSet):
    ...     def __init__(self, n: int = 100) -> None:
    ...         self.n = n
    ...
    ...     def load(self, seed: int = 0) -> LoadedData:
    ...         x = torch.linspace(0, 1, self.n)[:, None]
    ...         return LoadedData(Values(x), None, Values(x), shape=(1,))
    >>> data = Line(5)
    >>> data.arguments, data.load().train.batch(torch.tensor([0, 4])).x.flatten()
    ({'n': 5}, tensor([0., 1.]))
    """

    @abstractmethod
    def load(self, seed: int = 0) -> LoadedData:
        """Read the files and make the splits.

        Args:
            seed: Seed of the fixed bits of validation and test data under dynamic binarisation;
                they are a function of (seed, split, datum).

        Returns:
            The training, validation and test data, with facts.

        Raises:
            DataError: The files are missing, damaged or not what they should be.
        """
