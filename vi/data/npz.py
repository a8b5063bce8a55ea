"""A user's own arrays in an .npz file."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from vi.data.columns import columns_facts
from vi.data.grey_images import GreyImages
from vi.data.missing import mask_nan
from vi.data.partition import require_fractions
from vi.data.precision import floating
from vi.data.reading.files import Contents, file_facts, read, user_path
from vi.data.reading.npz_file import read_npz
from vi.data.source import Items, Source, random_source
from vi.errors import ConfigurationError, DataError

_BYTE = 255
_SPARSE = {"data", "shape", "format"}  # what scipy.sparse.save_npz writes, among others


class NPZ(GreyImages):
    """An array (N, ...) of numbers, one item per row; or arrays ``train``, ``val``, ``test``.

    Bytes are kept; other numbers become floating point, in double precision if needed. A vector of
    N numbers is read as N items of shape (1,). An array ``columns`` of text names the entries of a
    row, for the axes of pictures.

    Args:
        path: The .npz (or .npy) file.
        key: Name of the array. None takes the only one, or ``x``, or ``train``, ``val`` and
            ``test``.
        levels: Values are divided by this. None takes 255 for bytes with values above 1, else 1;
            counts stored as bytes need 1.
        binarize: dynamic, static or none; only for bytes.
        validation_fraction: Fraction of the items; 0 gives no validation split.
        test_fraction: Fraction of the items; 0 makes the training items the test split.
        split_seed: Of the random split and of what is hidden; not the run's seed, so that runs can
            be compared.
        missing: What NaN means: ``refuse`` has training refuse it, with ``mask`` such entries are
            missing and leave the likelihood.
        hidden_fraction: The fraction of the entries that is hidden at random, in every split.

    Raises:
        ConfigurationError: The fractions leave nothing to train on, ``levels`` is not positive,
            ``hidden_fraction`` is not in [0, 1), or bits are asked of values that are not bytes.
        DataError: The file cannot be read, has no such array, it holds no numbers or an infinite
            one, ``levels`` is below bytes that are binarised, or an entry is missing in all
            training items.
    """

    def __init__(
        self,
        path: str,
        key: str | None = None,
        levels: int | None = None,
        binarize: Literal["dynamic", "static", "none"] = "none",
        validation_fraction: float = 0.1,
        test_fraction: float = 0.1,
        split_seed: int = 0,
        missing: Literal["refuse", "mask"] = "refuse",
        hidden_fraction: float = 0.0,
    ) -> None:
        super().__init__(binarize, hidden_fraction)
        require_fractions(validation_fraction, test_fraction)
        _require_levels(levels)
        self.path, self.key, self.levels = path, key, levels
        self.missing = missing
        self.fractions = (validation_fraction, test_fraction)
        self.split_seed = split_seed

    def read(self) -> Source:
        """Split the array at random, or take the arrays that are splits already."""
        contents = read(user_path(self.path))
        arrays = read_npz(contents)
        names = columns_facts(_names(arrays))
        facts = {"data/name": "npz", **names, **file_facts([contents])}
        if self.key is None and {"train", "test"} <= arrays.keys():
            return self._own_split(contents, arrays, facts)
        key = self.key or _only(contents, arrays)
        stored = _tensor(contents, arrays, key)
        return random_source(
            self._items(stored),
            contents.path,
            fractions=self.fractions,
            seed=self.split_seed,
            facts={**facts, "data/key": key},
            levels=self._levels(stored),
        )

    def _own_split(
        self, contents: Contents, arrays: Mapping[str, np.ndarray], facts: dict[str, Any]
    ) -> Source:
        """Return the splits that the file contains."""
        keys = [key for key in ("train", "val", "test") if key in arrays]
        parts = {key: _tensor(contents, arrays, key) for key in keys}
        _require_equal(contents, parts)
        items = {key: self._items(part) for key, part in parts.items()}
        facts = {**facts, "data/split": "the file's own"}
        levels = max(self._levels(part) for part in parts.values())
        return Source(items["train"], items.get("val"), items["test"], levels, facts=facts)

    def _items(self, stored: Tensor) -> Items:
        self._require_probabilities(stored)
        return mask_nan(Items(stored)) if self.missing == "mask" else Items(stored)

    def _require_probabilities(self, stored: Tensor) -> None:
        """Refuse bytes above ``levels``, which are not probabilities of bits."""
        bits = self.binarize != "none" and stored.dtype == torch.uint8 and stored.numel() > 0
        if bits and self.levels and stored.max() > self.levels:
            raise DataError(
                f"{self.path} holds bytes up to {int(stored.max())}; divided by data.levels="
                f"{self.levels} they are not probabilities of bits",
                hint=f"data.levels={int(stored.max())} or 255, or data.binarize=none",
            )

    def _levels(self, stored: Tensor) -> int:
        """Return the number by which values are divided."""
        grey = stored.dtype == torch.uint8 and stored.numel() > 0 and stored.max() > 1
        return self.levels or (_BYTE if grey else 1)


def _require_levels(levels: int | None) -> None:
    if levels is not None and not 1 <= levels <= _BYTE:
        raise ConfigurationError(
            f"data.levels must be in 1 .. {_BYTE}, got {levels}", hint="255 for grey bytes"
        )


def _names(arrays: dict[str, np.ndarray]) -> list[str]:
    """Of the entries of a row, where the file holds them; they are no data."""
    names = arrays.get("columns")
    if names is None or names.dtype.kind != "U":
        return []
    return [str(name) for name in arrays.pop("columns").ravel()]


def _only(contents: Contents, arrays: Mapping[str, np.ndarray]) -> str:
    if arrays.keys() >= _SPARSE:
        raise DataError(
            f"{contents.path} is a sparse matrix of scipy, {_sparse_shape(arrays['shape'])}",
            hint="numpy.savez('a.npz', x=scipy.sparse.load_npz(path).toarray()) writes it dense",
        )
    if len(arrays) == 1:
        return next(iter(arrays))
    if "x" in arrays:
        return "x"
    raise DataError(
        f"{contents.path} holds {len(arrays)} arrays: {', '.join(sorted(arrays)) or 'none'}",
        hint="choose one with data.key=NAME, or call them train, val and test",
    )


def _sparse_shape(shape: np.ndarray) -> str:
    return " x ".join(str(size) for size in shape.ravel()[:2])


def _tensor(contents: Contents, arrays: Mapping[str, np.ndarray], key: str) -> Tensor:
    """Return an array as a tensor with one item per row."""
    if key not in arrays:
        raise DataError(
            f"{contents.path} has no array {key!r}", hint=f"it has {', '.join(sorted(arrays))}"
        )
    array = arrays[key]
    if array.dtype.kind not in "buif" or array.ndim == 0:
        raise DataError(
            f"array {key!r} of {contents.path} has dtype {array.dtype} and shape {array.shape}",
            hint="an array of real numbers with one item per row is needed",
        )
    rows = array.reshape(-1, 1) if array.ndim == 1 else array
    _require_entries(contents, key, rows)
    _require_finite(contents, key, rows)
    if rows.dtype == np.uint8:
        return torch.from_numpy(np.ascontiguousarray(rows))
    return floating(rows)


def _require_entries(contents: Contents, key: str, rows: np.ndarray) -> None:
    """Refuse items without entries."""
    if 0 in rows.shape[1:]:
        raise DataError(
            f"array {key!r} of {contents.path} has items without entries: shape {rows.shape}",
            hint="an array of real numbers with one item per row is needed",
        )


def _require_finite(contents: Contents, key: str, rows: np.ndarray) -> None:
    """Refuse infinite values; NaN may mark missing entries."""
    if rows.dtype.kind != "f" or not rows.size or not _reaches_infinity(rows):
        return
    places = np.argwhere(np.isinf(rows))
    raise DataError(
        f"array {key!r} of {contents.path} holds {len(places)} infinite values (first: "
        f"{rows[tuple(places[0])]} in row {places[0][0]}, entry {places[0][1:].tolist()})",
        hint="write numbers, or NaN and data.missing=mask, which leaves them out of p(x|z)",
    )


def _reaches_infinity(rows: np.ndarray) -> bool:
    """Whether a value is infinite, without a temporary array; fmax and fmin ignore NaN."""
    ends = np.fmax.reduce(rows, axis=None), np.fmin.reduce(rows, axis=None)
    return bool(np.isinf(ends).any())


def _require_equal(contents: Contents, parts: Mapping[str, Tensor]) -> None:
    """Refuse splits that differ in shape or type."""
    kinds = {(part.dtype, part.shape[1:]) for part in parts.values()}
    if len(kinds) > 1:
        raise DataError(
            f"the splits of {contents.path} differ in shape or type: "
            + ", ".join(f"{key} {tuple(p.shape)} {p.dtype}" for key, p in parts.items()),
            hint="all splits need items of one shape and type",
        )
