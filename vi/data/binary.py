"""Binary pictures: static MNIST and the Caltech 101 silhouettes."""

import io
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from vi.data.base import DataSet, LoadedData
from vi.data.reading.files import (
    Contents,
    KnownFile,
    all_there,
    data_dir,
    file_facts,
    locate,
    not_found,
    read_known,
)
from vi.data.reading.npz_file import read_npz
from vi.data.source import Items, Source, assemble

_PIXELS = 784


class StaticMNIST(DataSet):
    """MNIST as binarised by Larochelle: (1, 28, 28) bits, 50,000 / 10,000 / 10,000.

    The rows are not in the order of MNIST and have no labels. Salakhutdinov & Murray 2008;
    Larochelle & Murray 2011, http://proceedings.mlr.press/v15/larochelle11a.html.

    Args:
        dir: The data folder; None means VI_DATA_DIR, else ``data``. Its folder ``MNIST_static``
            contains ``binarized_mnist_packed.npz``, or the three .amat or .amat.gz files.

    Raises:
        DataError: The files are missing or damaged.
    """

    packed = KnownFile(
        "MNIST_static/binarized_mnist_packed.npz",
        "50de2c8299a5a297789293ab2c30f6fc3cb8c359a15e5e88d5501aa18ebb8fa5",
    )
    texts = (
        KnownFile(
            "MNIST_static/binarized_mnist_train.amat",
            "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d",
            "af247bd6075cf9adc4715459dcd5f13eaa99a2c92d8d81379a05da94770b6c0e",
        ),
        KnownFile(
            "MNIST_static/binarized_mnist_valid.amat",
            "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2",
            "533b71bc0198f4d73c54ae5fe6c96fc08dc3cf1b3fae24c5521dbc0452507e38",
        ),
        KnownFile(
            "MNIST_static/binarized_mnist_test.amat",
            "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c",
            "32a3c54d03504632bf9f131b4a148c7567aa6fc87da017049b044bdc14c2a0f2",
        ),
    )

    def __init__(self, dir: str | None = None) -> None:
        self.dir = dir

    def load(self, seed: int = 0) -> LoadedData:
        """Read the packed bits or the three text files; ``seed`` has no effect."""
        root = data_dir(self.dir)
        packed = locate(root, self.packed) is not None
        bits, files = self._packed(root) if packed else self._texts(root)
        train, val, test = (Items(b.reshape(-1, 1, 28, 28)) for b in bits)
        facts = {
            "data/name": "static_mnist",
            "data/split": "50000/10000/10000, Larochelle's files",
            **file_facts(files),
            "data/binarize": "static",
        }
        return assemble(Source(train, val, test, facts=facts))

    def _packed(self, root: Path) -> tuple[list[Tensor], list[Contents]]:
        """Read the bits of all splits from the .npz file."""
        contents = read_known("static MNIST", root, self.packed)
        arrays = read_npz(contents)
        rows = (
            np.unpackbits(arrays[k], axis=1, count=_PIXELS) for k in ("train", "valid", "test")
        )
        return [torch.from_numpy(bits) for bits in rows], [contents]

    def _texts(self, root: Path) -> tuple[list[Tensor], list[Contents]]:
        """Read the bits of all splits from the text files."""
        if not all_there(root, self.texts):
            raise not_found("static MNIST", root, self.texts)
        files = [read_known("static MNIST", root, known) for known in self.texts]
        return [_text_bits(contents) for contents in files], files


def _text_bits(contents: Contents) -> UInt8[Tensor, "N 784"]:
    """Return the digits 0 and 1 of a file.

    Every second byte is a digit; the bytes between them are blanks and line ends.
    """
    characters = np.frombuffer(contents.data, np.uint8)
    return torch.from_numpy(characters[::2] - ord("0")).reshape(-1, _PIXELS)


class Caltech101Silhouettes(DataSet):
    """Outlines of objects, (1, 28, 28) bits with 1 for the object: 4,100 / 2,264 / 2,307.

    The split is that of the file. The file stores the object as 0 and pictures by columns; both
    are inverted here, as in the papers. Marlin, Swersky, Chen & de Freitas 2010,
    http://proceedings.mlr.press/v9/marlin10a.html.

    Args:
        dir: The data folder; None means VI_DATA_DIR, else ``data``. It contains
            ``Caltech101Silhouettes/caltech101_silhouettes_28_split1.mat``.
        context: ``label`` gives the kind of object as ``given["context"]``, one-hot, 101 wide.

    Raises:
        DataError: The file is missing or damaged.
    """

    file = KnownFile(
        "Caltech101Silhouettes/caltech101_silhouettes_28_split1.mat",
        "eb6735e8d84b1850fabc5590124aab1755e90c9fd28123585324398405e1e42a",
    )

    def __init__(self, dir: str | None = None, context: Literal["label"] | None = None) -> None:
        self.dir = dir
        self.context = context

    def load(self, seed: int = 0) -> LoadedData:
        """Read the three splits of the file; ``seed`` has no effect."""
        from scipy.io import loadmat  # slow to import

        contents = read_known("Caltech 101 silhouettes", data_dir(self.dir), self.file)
        arrays = loadmat(io.BytesIO(contents.data))
        train, val, test = (self._items(arrays, key) for key in ("train", "val", "test"))
        facts = {
            "data/name": "caltech101_silhouettes",
            "data/split": "4100/2264/2307, the file's own",
            **file_facts([contents]),
            "data/binarize": "static",
        }
        return assemble(Source(train, val, test, num_classes=101, facts=facts))

    def _items(self, arrays: dict[str, Any], key: str) -> Items:
        """Return one split, with the object as 1 and pictures by rows."""
        by_columns = torch.from_numpy(arrays[f"{key}_data"].copy()).reshape(-1, 1, 28, 28)
        labels = torch.from_numpy(arrays[f"{key}_labels"].ravel().astype(np.int64)) - 1
        stored = (1 - by_columns).transpose(-1, -2).contiguous()
        return Items(stored, labels if self.context else None)
