"""The Frey faces: 1965 frames of one video."""

from typing import Literal

import torch

from vi.data.grey_images import GreyImages
from vi.data.reading.files import KnownFile, data_dir, file_facts, read_known
from vi.data.reading.npz_file import read_npz
from vi.data.source import Items, Source, random_parts

_N_VAL = _N_TEST = 200
_SPLIT_SEED = 0


class FreyFaces(GreyImages):
    """Grey faces, (1, 28, 20), split 1565 / 200 / 200 by a fixed permutation.

    There is no official split; the sizes are those of Tomczak & Welling 2018,
    https://arxiv.org/abs/1705.07120. The data were used by Kingma & Welling 2014,
    https://arxiv.org/abs/1312.6114.

    Args:
        dir: The data folder; None means VI_DATA_DIR, else ``data``. It contains
            ``Freyfaces/freyfaces.npz``.
        binarize: dynamic, static or none.
        hidden_fraction: The fraction of the pixels that is hidden at random, in every split.

    Raises:
        ConfigurationError: ``hidden_fraction`` is not in [0, 1).
        DataError: The file is missing or damaged.
    """

    file = KnownFile(
        "Freyfaces/freyfaces.npz",
        "3c70375e0a9c4751ad49ad5f1f692bd094c46f133cf4aa8ea77d1cb14e1efcd1",
    )

    def __init__(
        self,
        dir: str | None = None,
        binarize: Literal["dynamic", "static", "none"] = "none",
        hidden_fraction: float = 0.0,
    ) -> None:
        super().__init__(binarize, hidden_fraction)
        self.dir = dir

    def read(self) -> Source:
        """Read the frames and shuffle them, since consecutive frames are nearly equal."""
        contents = read_known("Frey faces", data_dir(self.dir), self.file)
        items = Items(torch.from_numpy(read_npz(contents)["images"]).unsqueeze(1))
        parts = random_parts(items, validation=_N_VAL, test=_N_TEST, seed=_SPLIT_SEED)
        facts = {
            "data/name": "frey_faces",
            "data/split": "1565/200/200 by a fixed permutation",
            **file_facts([contents]),
        }
        return Source(*parts, levels=255, facts=facts)
