"""A user's own folder of pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from vi.data.checksum import combined
from vi.data.files import read
from vi.data.grey_images import GreyImages
from vi.data.partition import require_fractions
from vi.data.pictures import decode
from vi.data.source import Items, Source, random_source
from vi.errors import ConfigurationError, DataError

_SUFFIXES = (".png", ".jpg", ".jpeg")


class ImageFolder(GreyImages):
    """Every png and jpg below a folder, (1 or 3, height, width), resident as bytes.

    Args:
        path: The folder.
        size: Resize to (size, size), bicubic; None: all pictures must have one size.
        grey: One channel rather than three.
        binarize: dynamic, static or none.
        context: ``label`` gives the name of the subfolder as ``given["context"]``, one-hot.
        validation_fraction: Of the pictures; 0 means no validation split.
        test_fraction: Of the pictures; 0 means that the training pictures are the test split.
        split_seed: Of the random split and of what is hidden; not the run's seed, so that runs can
            be compared.
        hidden: The fraction of the pixels that is hidden at random, in every split.

    Raises:
        ConfigurationError: The fractions leave nothing to train on, ``size`` is not positive, or
            ``hidden`` is not in [0, 1).
        DataError: There is no such folder, no picture, one that cannot be read, or one of another
            size; labels are asked for and a picture is in no subfolder.
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
        hidden: float = 0.0,
    ) -> None:
        super().__init__(binarize, hidden)
        require_fractions(validation_fraction, test_fraction)
        _require_positive(size)
        self.path, self.size, self.grey, self.context = path, size, grey, context
        self.fractions = (validation_fraction, test_fraction)
        self.split_seed = split_seed

    def read(self) -> Source:
        """All pictures, split at random."""
        root = Path(self.path).expanduser()
        paths = _find(root)
        pictures, digests = self._read_all(root, paths)
        stored = torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous()
        names = _labels(root, paths) if self.context else []
        labels = _numbers(names) if self.context else None
        facts = {"data/name": "image_folder", "data/sha256": combined(digests)}
        return random_source(
            Items(stored, labels),
            root,
            fractions=self.fractions,
            seed=self.split_seed,
            facts=facts,
            levels=255,
            num_classes=len(set(names)),
        )

    def _read_all(self, root: Path, paths: Sequence[Path]) -> tuple[np.ndarray, dict[str, str]]:
        """All pictures, (N, height, width, channels), and the sha256 of each file."""
        mode = "L" if self.grey else "RGB"
        first = decode(read(paths[0]), mode, self.size)
        pictures = np.empty((len(paths), *first.shape), np.uint8)
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
            pictures[i] = picture
        return pictures, digests


def _require_positive(size: int | None) -> None:
    if size is not None and size < 1:
        raise ConfigurationError(
            f"data.size must be at least 1, got {size}", hint="data.size=64, for example"
        )


def _find(root: Path) -> list[Path]:
    if not root.is_dir():
        raise DataError(
            f"{root} is not a folder", hint="data.path= names a folder of png or jpg pictures"
        )
    paths = sorted(path for path in root.rglob("[!.]*") if _is_picture(path))
    if not paths:
        raise DataError(
            f"{root} holds no pictures", hint=f"their names end in one of {', '.join(_SUFFIXES)}"
        )
    return paths


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in _SUFFIXES and path.is_file()


def _labels(root: Path, paths: Sequence[Path]) -> list[str]:
    loose = next((path for path in paths if path.parent == root), None)
    if loose is not None:
        raise DataError(
            f"{loose} has no label: it is in no subfolder",
            hint="one subfolder per label, or data.context=null",
        )
    return [path.relative_to(root).parts[0] for path in paths]


def _numbers(names: Sequence[str]) -> Int64[Tensor, " N"]:
    return torch.from_numpy(np.unique(names, return_inverse=True)[1].astype(np.int64))


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[0]}x{picture.shape[1]}"
