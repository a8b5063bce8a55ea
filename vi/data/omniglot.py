"""Omniglot: 1623 characters of 50 alphabets, each drawn by 20 people."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from vi.data.grey_images import GreyImages
from vi.data.partition import require_size
from vi.data.reading.checksum import combined
from vi.data.reading.download import download
from vi.data.reading.files import (
    Contents,
    KnownFile,
    data_dir,
    file_facts,
    locate,
    read,
    read_known,
)
from vi.data.reading.npz_file import read_npz
from vi.data.reading.pictures import decode, shrink
from vi.data.source import Items, Source, random_parts
from vi.errors import DataError

_N, _N_TRAIN = 32_460, 24_345
_CHARACTERS, _DRAWERS, _TEST_DRAWERS = 1623, 20, 5
_SIDE = 105
_DRAWERS_SEED, _SPLIT_SEED = 20150901, 0


@dataclass(frozen=True)
class Drawings:
    """All drawings in the order of (character, drawer), the same from every source.

    Args:
        images: (32460, 28, 28) bytes, 255 = ink.
        character: 1 to 1623.
        drawer: 1 to 20.
        alphabet: 0 to 49, in the order of their names.
        facts: The files from which they were read.
    """

    images: np.ndarray
    character: np.ndarray
    drawer: np.ndarray
    alphabet: np.ndarray
    facts: dict[str, Any]


class Omniglot(GreyImages):
    """Handwritten characters, (1, 28, 28), 23,000 / 1,345 / 8,115.

    Of the 20 drawers of each character a fixed choice of 5 provides the test data. The originals
    of 105x105 pixels are shrunk to 28x28, bicubic and antialiased. This is not the file of Burda,
    Grosse & Salakhutdinov (24,345 / 8,070), so published nats are only roughly comparable. Lake,
    Salakhutdinov & Tenenbaum 2015, Science 350.

    The data are read from the first of these that exists:
    ``omniglot/omniglot_28x28_derived.npz``, ``omniglot/omniglot_105x105_packed.npz`` and
    torchvision's ``omniglot-py``; otherwise torchvision downloads them. From all but the first
    32,460 pictures are decoded at every load, which takes some seconds.

    Args:
        dir: The data folder; None means VI_DATA_DIR, else ``data``.
        binarize: dynamic, static or none.
        validation_size: How many of the 24,345 training drawings validate, a fixed random choice.
        context: ``label`` gives the alphabet as ``given["context"]``, one-hot, 50 wide.
        hidden_fraction: The fraction of the pixels that is hidden at random, in every split.

    Raises:
        ConfigurationError: ``validation_size`` leaves nothing to train on, or
            ``hidden_fraction`` is not in [0, 1).
        DataError: The files are missing and cannot be downloaded, or are damaged.
    """

    derived = KnownFile(
        "omniglot/omniglot_28x28_derived.npz",
        "443c584eea3fc354c39fb532ee38cb145e3d6f46d4774362ab8dd28f2edda4b2",
    )
    packed = KnownFile(
        "omniglot/omniglot_105x105_packed.npz",
        "78892916cabd8308af87542e4ee985ccce24c11cfca910a9b86f79f80039f118",
    )

    def __init__(
        self,
        dir: str | None = None,
        binarize: Literal["dynamic", "static", "none"] = "dynamic",
        validation_size: int = 1345,
        context: Literal["label"] | None = None,
        hidden_fraction: float = 0.0,
    ) -> None:
        super().__init__(binarize, hidden_fraction)
        require_size("validation_size", validation_size, _N_TRAIN)
        self.dir = dir
        self.validation_size = validation_size
        self.context = context

    def read(self) -> Source:
        """Read the drawings: 15 drawers for training and validation, 5 for test."""
        drawings = self._drawings(data_dir(self.dir))
        labels = torch.from_numpy(drawings.alphabet.astype(np.int64)) if self.context else None
        items = Items(torch.from_numpy(drawings.images).unsqueeze(1), labels)
        is_test = torch.from_numpy(_held_out_drawers(drawings.character, drawings.drawer))
        rest = items.take((~is_test).nonzero().squeeze(1))
        train, val, _ = random_parts(
            rest, validation=self.validation_size, test=0, seed=_SPLIT_SEED
        )
        facts = {
            "data/name": "omniglot",
            "data/split": f"{len(train)}/{self.validation_size}/8115; 15 of 20 drawers train",
            **drawings.facts,
        }
        test = items.take(is_test.nonzero().squeeze(1))
        return Source(train, val, test, levels=255, num_classes=50, facts=facts)

    def _drawings(self, root: Path) -> Drawings:
        """Read the drawings from the first source that exists; download them if none does."""
        if locate(root, self.derived):
            return _from_npz(read_known("Omniglot", root, self.derived), lambda images: images)
        if locate(root, self.packed):
            return _from_npz(read_known("Omniglot", root, self.packed), _unpack)
        paths = _pictures(root)
        if not paths:
            self._download(root)
            paths = _pictures(root)
        return _from_pictures(root, paths)

    def _download(self, root: Path) -> None:
        """Download the drawings with torchvision."""

        def fetch() -> None:
            from torchvision.datasets import Omniglot as Original  # slow to import

            for background in (True, False):
                Original(str(root), background=background, download=True)

        files = f"{self.derived.published} in {root / 'omniglot'}"
        download("Omniglot", root, fetch, files=files)


def _from_npz(contents: Contents, pictures: Callable[[np.ndarray], np.ndarray]) -> Drawings:
    """Read the drawings from an .npz file."""
    arrays = read_npz(contents)
    character, drawer, alphabet = (arrays[key] for key in ("character", "drawer", "alphabet"))
    facts = {"data/source": contents.path.name, **file_facts([contents])}
    return _ordered(pictures(arrays["images"]), character, drawer, alphabet, facts)


def _unpack(bits: np.ndarray) -> np.ndarray:
    """Unpack bits to drawings of 105x105 pixels and shrink them to 28x28."""
    ink = np.unpackbits(bits, axis=1, count=_SIDE * _SIDE)
    return shrink(ink.reshape(-1, _SIDE, _SIDE), 28)


def _pictures(root: Path) -> list[Path]:
    # .../omniglot-py/images_background/Korean/character01/0539_01.png
    """Return the paths of torchvision's picture files."""
    return sorted(root.glob("omniglot-py/images_*/*/*/*_*.png"))


def _from_pictures(root: Path, paths: list[Path]) -> Drawings:
    """Read the drawings from torchvision's picture files."""
    if len(paths) != _N:
        raise DataError(
            f"{root / 'omniglot-py'} holds {len(paths)} pictures, expected {_N}",
            hint="delete the folder, so that it is downloaded again",
        )
    files = [read(path) for path in paths]
    ink = np.stack([decode(file, "L")[..., 0] == 0 for file in files]).astype(np.uint8)
    numbers = np.array([path.stem.split("_") for path in paths]).astype(np.int64)
    alphabet = np.unique([path.parts[-3] for path in paths], return_inverse=True)[1]
    digests = {file.path.name: file.sha256 for file in files}
    facts = {"data/source": "omniglot-py", "data/sha256": combined(digests)}
    return _ordered(shrink(ink, 28), numbers[:, 0], numbers[:, 1], alphabet, facts)


def _ordered(
    images: np.ndarray,
    character: np.ndarray,
    drawer: np.ndarray,
    alphabet: np.ndarray,
    facts: dict[str, Any],
) -> Drawings:
    """Sort the drawings by character and drawer."""
    order = np.lexsort((drawer, character))
    columns = (column[order] for column in (images, character, drawer, alphabet))
    return Drawings(*columns, facts=facts)


def _held_out_drawers(character: np.ndarray, drawer: np.ndarray) -> np.ndarray:
    """Whether each drawing is test data: a fixed choice of 5 of 20 drawers per character."""
    random = np.random.RandomState(_DRAWERS_SEED)
    held_out = np.stack(
        [random.permutation(_DRAWERS)[-_TEST_DRAWERS:] + 1 for _ in range(_CHARACTERS)]
    )
    return (drawer[:, None] == held_out[character - 1]).any(1)
