"""Data as it is trained on: one resident tensor per split, a batch is a block of indices."""

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


class Batch(NamedTuple):
    """What one step sees: ``x`` of shape (B, *event) and what the model conditions on.

    ``index`` (B,) tells where the items stand in their split.
    """

    x: Tensor
    given: dict[str, Tensor]
    index: Tensor | None = None


class Split(ABC):
    """One part of a data set, resident on one device.

    An implementer writes ``values``; ``stored`` holds the data as their source gives them (bytes
    where the source is bytes, doubles where it needs them), ``given`` one tensor of N rows per
    conditioning variable. Where entries are missing, ``observed`` (N, *event) is False; a batch
    has 0 there, and ``given["observed"]`` beside it.
    """

    observed: Tensor | None = None

    def __init__(self, stored: Tensor, given: dict[str, Tensor] | None = None) -> None:
        self.stored = stored
        self.given = given or {}

    def __len__(self) -> int:
        return len(self.stored)

    @abstractmethod
    def values(self, index: Integer[Tensor, " B"]) -> Tensor:
        """The data x of these items, (B, *event), floating point, double where ``stored`` is."""

    def batch(self, index: Integer[Tensor, " B"]) -> Batch:
        """The items of a block of indices, on the device of the split."""
        given = {name: value.index_select(0, index) for name, value in self.given.items()}
        x = self.values(index)
        if self.observed is not None:
            given["observed"] = self.observed.index_select(0, index)
            x = x.where(given["observed"], x.new_zeros(()))
        return Batch(x, given, index)

    def spread(self, n: int) -> Integer[Tensor, " n"]:
        """Indices of n data at even distances, as files are often sorted by class.

        All of them in order where n is their number; more than that repeat some.
        """
        return torch.arange(n, device=self.stored.device) * len(self) // n

    def with_observed(self, observed: Tensor) -> "Split":
        """The same data with some entries missing: where this (N, *event) is False."""
        split = copy(self)
        split.observed = observed
        return split

    def frozen(self, seed: int) -> "Split":
        """The same data at every visit: a function of (seed, datum). Most data are so already."""
        del seed
        return self

    def viewed(self, shape: tuple[int, ...]) -> "Split":
        """The same data with another event shape of as many entries."""
        split = copy(self)
        split.stored = self.stored.reshape(len(self), *shape)
        if self.observed is not None:
            split.observed = self.observed.reshape(len(self), *shape)
        return split

    def in_precision(self, dtype: torch.dtype) -> "Split":
        """The same data, whose floating-point numbers are these; bytes stay bytes."""
        if not self.stored.is_floating_point() or self.stored.dtype == dtype:
            return self
        split = copy(self)
        split.stored = self.stored.to(dtype)
        return split

    def to(self, device: torch.device | str) -> "Split":
        """The same split on another device."""
        self.stored = self.stored.to(device)
        self.given = {k: v.to(device) for k, v in self.given.items()}
        if self.observed is not None:
            self.observed = self.observed.to(device)
        return self


class Values(Split):
    """Stored values divided by their number of levels: x = stored / levels.

    ``levels`` is 255 for grey bytes, 1 for bits and for floating-point data.

    >>> Values(torch.tensor([[0, 255]], dtype=torch.uint8), levels=255).values(torch.tensor([0]))
    tensor([[0., 1.]])
    """

    def __init__(
        self, stored: Tensor, given: dict[str, Tensor] | None = None, *, levels: int = 1
    ) -> None:
        super().__init__(stored, given)
        self.levels = levels

    def values(self, index: Integer[Tensor, " B"]) -> Tensor:
        """These items, divided by the number of levels."""
        dtype = torch.promote_types(self.stored.dtype, torch.get_default_dtype())
        x = self.stored.index_select(0, index).to(dtype)
        return x if self.levels == 1 else x / self.levels


class DynamicBits(Split):
    """Fresh bits at every visit: x ~ Bernoulli(stored / levels), from the current random state."""

    def __init__(
        self, stored: Tensor, given: dict[str, Tensor] | None = None, *, levels: int = 255
    ) -> None:
        super().__init__(stored, given)
        self.levels = levels
        self._frozen: tuple[int, tuple[Tensor, Tensor | None], Values] | None = None

    def values(self, index: Integer[Tensor, " B"]) -> Tensor:
        """Bits of these items, drawn now."""
        return draw_bits(self.stored.index_select(0, index), self.levels)

    def frozen(self, seed: int) -> Values:
        """Bits drawn once; asked again for the same seed, the same object."""
        known, ours = self._frozen, (self.stored, self.observed)
        if known is None or known[0] != seed or any(map(is_not, known[1], ours)):
            known = self._frozen = (seed, ours, self._drawn(seed))
        return known[2]

    def _drawn(self, seed: int) -> Values:
        generator = torch.Generator().manual_seed(seed)
        u = torch.randint(
            0, self.levels, self.stored.shape, dtype=torch.uint8, generator=generator
        )
        bits = Values((u.to(self.stored.device) < self.stored).to(torch.uint8), self.given)
        bits.observed = self.observed
        return bits


@dataclass(frozen=True)
class LoadedData:
    """The splits of a data set and what is true of all of them.

    Args:
        train: The split that is trained on.
        val: The split that early stopping and ``best`` watch; None where the user asked for none.
        test: The split that is reported.
        shape: Event shape of x; images are (channels, height, width).
        context_dim: Width of ``given["context"]``, 0 where there is none.
        facts: What has to stand beside every number, flat and plain: name, sizes of the splits,
            preprocessing, checksums of the files.
        option: The data set that this came from, for those who want to load it again.
    """

    train: Split
    val: Split | None
    test: Split
    shape: tuple[int, ...]
    context_dim: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    option: "DataSet | None" = None

    def viewed(self, shape: tuple[int, ...], *, doubles: bool = True) -> "LoadedData":
        """The same data with another event shape of as many entries.

        Args:
            shape: Of one datum.
            doubles: Whether doubles stay what they are; else the default precision is enough.
        """

        def seen(split: Split) -> Split:
            split = split.viewed(shape)
            return split if doubles else split.in_precision(torch.get_default_dtype())

        val = None if self.val is None else seen(self.val)
        return replace(
            self, train=seen(self.train), val=val, test=seen(self.test), shape=tuple(shape)
        )


class DataSet(Configurable, ABC):
    """A data set by name. An implementer writes ``load``."""

    @abstractmethod
    def load(self, seed: int = 0) -> LoadedData:
        """Read the files and make the splits.

        Args:
            seed: Of the fixed bits of validation and test data under dynamic binarisation; they
                are a function of (seed, split, datum).

        Raises:
            DataError: The files are missing, damaged or not what they should be.
        """
