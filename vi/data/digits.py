"""The handwritten digits that are part of scikit-learn: the default data, available offline."""

import gzip
import hashlib
import importlib.util
import io
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from vi.data.grey_images import GreyImages
from vi.data.partition import permutation
from vi.data.source import Items, Source
from vi.errors import DataError

_N_TRAIN, _N_VAL = 1397, 200  # and 200 test data: 1797 in all
_SPLIT_SEED = 0
_SHA256 = "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"


class Digits(GreyImages):
    """1797 digits of 8x8 pixels and 17 grey levels, 0 to 16, from scikit-learn.

    x has the shape (1, 8, 8); the split is 1397 / 200 / 200 by a fixed permutation. Alpaydin &
    Kaynak 1998, https://archive.ics.uci.edu/dataset/80.

    Args:
        binarize: dynamic, static or none.
        context: ``label`` gives the digit as ``given["context"]``, one-hot, ten wide.
        hidden_fraction: The fraction of the pixels that is hidden at random, in every split.

    Raises:
        ConfigurationError: ``hidden_fraction`` is not in [0, 1).
        DataError: The file in scikit-learn is missing or damaged.

    >>> data = Digits().load()
    >>> len(data.train), len(data.val), len(data.test), data.shape
    (1397, 200, 200, (1, 8, 8))
    """

    def __init__(
        self,
        binarize: Literal["dynamic", "static", "none"] = "dynamic",
        context: Literal["label"] | None = None,
        hidden_fraction: float = 0.0,
    ) -> None:
        super().__init__(binarize, hidden_fraction)
        self.context = context

    def read(self) -> Source:
        """Read the pictures and labels, and split them."""
        rows = torch.from_numpy(_rows())
        labels = rows[:, 64].long() if self.context else None
        items = Items(rows[:, :64].reshape(-1, 1, 8, 8), labels)
        order = permutation(len(items), _SPLIT_SEED)
        index = order.tensor_split([_N_TRAIN, _N_TRAIN + _N_VAL])
        train, val, test = (items.take(i) for i in index)
        facts = {
            "data/name": "digits",
            "data/split": "1397/200/200 by a fixed permutation",
            "data/sha256": _SHA256,
        }
        return Source(train, val, test, levels=16, num_classes=10, facts=facts)


def _rows() -> np.ndarray:
    """Return (1797, 65) bytes: 64 pixels and the digit."""
    path = _shipped()
    text = gzip.decompress(path.read_bytes())
    digest = hashlib.sha256(text).hexdigest()
    if digest != _SHA256:
        raise DataError(
            f"{path} is damaged: its sha256, unzipped, is {digest}, expected {_SHA256}",
            hint="install scikit-learn again",
        )
    return np.loadtxt(io.BytesIO(text), delimiter=",", dtype=np.uint8)


def _shipped() -> Path:
    # importing sklearn.datasets takes seconds; its file takes milliseconds
    """Return the path of the file in the scikit-learn package."""
    spec = importlib.util.find_spec("sklearn")
    folders = list(spec.submodule_search_locations or []) if spec else []
    paths = [Path(folder) / "datasets" / "data" / "digits.csv.gz" for folder in folders]
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        raise DataError(
            "the digits in scikit-learn are not found",
            hint="install scikit-learn, or choose another data set, for example data=mnist",
        )
    return found
