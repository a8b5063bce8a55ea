"""A user's own folder of pictures."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NoReturn

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from vi.data.grey_images import GreyImages
from vi.data.partition import require_fractions
from vi.data.reading.checksum import combined
from vi.data.reading.files import read, user_path
from vi.data.reading.memory import gigabytes, require_memory
from vi.data.reading.pictures import LARGEST, SUFFIXES, decode
from vi.data.source import Items, Source, random_source
from vi.errors import ConfigurationError, DataError


class ImageFolder(GreyImages):
    """All png, jpg, bmp and tif files of a folder and its subfolders, in memory as bytes.

    x has shape (1 or 3, height, width).

    Args:
        path: The folder.
        size: Height and width to which all pictures are resized (bicubic); None requires that
            they have the same size.
        grey: Whether to store one channel instead of three.
        binarize: dynamic, static or none.
        context: ``label`` gives the name of the subfolder as ``given["context"]``, one-hot.
        validation_fraction: Fraction of the pictures; 0 gives no validation split.
        test_fraction: Fraction of the pictures; 0 makes the training pictures the test split.
        split_seed: Of the random split and of what is hidden; not the run's seed, so that runs can
            be compared.
        hidden_fraction: The fraction of the pixels that is hidden at random, in every split.

    Raises:
        ConfigurationError: The fractions leave nothing to train on, ``size`` is not in 1 .. 8192,
            or ``hidden_fraction`` is not in [0, 1).
        DataError: There is no such folder, no picture, one that cannot be read, or one of another
            size; they do not fit into memory; or a picture has no label as it is in no subfolder.
    """

    def __init__(
        self,
        path: str,
        size: int | None = None,
        *,
        grey: bool = False,
        binarize: Literal["dynamic", "static", "none"] = "none",
        context: Literal["label"] | None = None,
        validation_fraction: float = 0.1,
        test_fraction: float = 0.1,
        split_seed: int = 0,
        hidden_fraction: float = 0.0,
    ) -> None:
        super().__init__(binarize, hidden_fraction)
        require_fractions(validation_fraction, test_fraction)
        _require_size(size)
        self.path, self.size, self.grey, self.context = path, size, grey, context
        self.fractions = (validation_fraction, test_fraction)
        self.split_seed = split_seed

    def read(self) -> Source:
        """Read all pictures and split them at random."""
        root = user_path(self.path)
        paths = _find(root)
        pictures, digests = self._read_all(root, paths)
        names = _labels(root, paths) if self.context else []
        labels = _numbers(names) if self.context else None
        facts = {"data/name": "image_folder", "data/sha256": combined(digests)}
        return random_source(
            Items(torch.from_numpy(pictures), labels),
            root,
            fractions=self.fractions,
            seed=self.split_seed,
            facts=facts,
            levels=255,
            num_classes=len(set(names)),
        )

    def _read_all(self, root: Path, paths: Sequence[Path]) -> tuple[np.ndarray, dict[str, str]]:
        """Return all pictures, (N, channels, height, width), and the sha256 of each file."""
        mode = "L" if self.grey else "RGB"
        first = decode(read(paths[0]), mode, self.size)
        pictures = _room(len(paths), *first.shape)
        digests = {}
        for i, path in enumerate(paths):
            file = read(path)
            digests[path.relative_to(root).as_posix()] = file.sha256
            picture = decode(file, mode, self.size)
            if picture.shape != first.shape:
                raise DataError(
                    f"{path} is {_size(picture)}, {paths[0].name} is {_size(first)}",
                    hint="data.size=64, for example, makes all pictures 64x64",
                )
            pictures[i] = picture.transpose(2, 0, 1)
        return pictures, digests


def _require_size(size: int | None) -> None:
    """Refuse a size that is not positive or above 8192."""
    if size is not None and not 1 <= size <= LARGEST:
        takes = f", which takes {gigabytes(3 * size**2)} a picture" if size > LARGEST else ""
        raise ConfigurationError(
            f"data.size must be in 1 .. {LARGEST}, got {size}{takes}",
            hint="data.size=64, for example",
        )


def _room(n: int, height: int, width: int, channels: int) -> np.ndarray:
    """Allocate the array of all pictures, if it fits into memory."""
    shape = (n, channels, height, width)
    what = f"{n} pictures of {channels}x{height}x{width} bytes"
    require_memory(what, math.prod(shape), hint="data.size=64, for example, makes them smaller")
    return np.empty(shape, np.uint8)


def _find(root: Path) -> list[Path]:
    """Return the paths of all pictures in a folder and its subfolders, sorted."""
    if not os.path.isdir(root):  # unlike Path.is_dir, no error if the name is too long
        raise DataError(
            f"{root} is not a folder",
            hint="set data.path to a folder of png, jpg, bmp or tif files",
        )
    below = os.walk(root, onerror=_refuse_folder)
    paths = sorted(Path(at, name) for at, _, names in below for name in names if _is_picture(name))
    if not paths:
        raise DataError(
            f"{root} holds no pictures", hint=f"their names end in one of {', '.join(SUFFIXES)}"
        )
    return paths


def _is_picture(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _refuse_folder(error: OSError) -> NoReturn:
    """Report a folder that cannot be read, which ``os.walk`` would skip."""
    raise DataError(
        f"cannot read the folder {error.filename}: {str(error.strerror).lower()}",
        hint="make the folder readable, or move it away",
    ) from error


def _labels(root: Path, paths: Sequence[Path]) -> list[str]:
    """Return the name of the subfolder of each picture."""
    loose = next((path for path in paths if path.parent == root), None)
    if loose is not None:
        raise DataError(
            f"{loose} has no label: it is in no subfolder",
            hint="one subfolder per label, or data.context=null",
        )
    return [path.relative_to(root).parts[0] for path in paths]


def _numbers(names: Sequence[str]) -> Int64[Tensor, " N"]:
    """Return the number of each name among the sorted names."""
    return torch.from_numpy(np.unique(names, return_inverse=True)[1].astype(np.int64))


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[0]}x{picture.shape[1]}"
