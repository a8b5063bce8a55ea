"""MNIST and Fashion-MNIST: 28x28 grey pictures of ten classes in four idx files."""

from abc import ABC
from pathlib import Path
from typing import ClassVar, Literal

from vi.data.grey_images import GreyImages
from vi.data.partition import require_size
from vi.data.reading.download import download
from vi.data.reading.files import Contents, KnownFile, all_there, data_dir, file_facts, read_known
from vi.data.reading.idx import read_idx
from vi.data.source import Items, Source
from vi.errors import DataError

_N = 60_000


class IDXImages(GreyImages, ABC):
    """Abstract: a data set in the format of MNIST, with four idx files.

    An implementer sets ``name``, ``folder`` and ``files``: names and checksums of the training
    images, the test images, the training labels and the test labels.

    Args:
        dir: The data folder; None means VI_DATA_DIR, else ``data``.
        binarize: dynamic, static or none.
        validation_size: Number of validation pictures, the last of the 60,000; 0 gives none.
        context: ``label`` gives the class as ``given["context"]``, one-hot, ten wide.
        hidden_fraction: The fraction of the pixels that is hidden at random, in every split.

    Raises:
        ConfigurationError: ``validation_size`` leaves nothing to train on, or
            ``hidden_fraction`` is not in [0, 1).
        DataError: The files are missing and cannot be downloaded, or are damaged.
    """

    name: ClassVar[str]
    folder: ClassVar[str]  # in the data folder; also the name of torchvision's class
    files: ClassVar[tuple[KnownFile, KnownFile, KnownFile, KnownFile]]

    def __init__(
        self,
        dir: str | None = None,
        binarize: Literal["dynamic", "static", "none"] = "dynamic",
        validation_size: int = 10_000,
        context: Literal["label"] | None = None,
        hidden_fraction: float = 0.0,
    ) -> None:
        super().__init__(binarize, hidden_fraction)
        require_size("validation_size", validation_size, _N)
        self.dir = dir
        self.validation_size = validation_size
        self.context = context

    def read(self) -> Source:
        """Read 60,000 pictures, the last of them for validation, and 10,000 for test."""
        root = data_dir(self.dir)
        files = self.files if self.context else self.files[:2]
        if not all_there(root, files):
            self._download(root)
        contents = [read_known(self.folder, root, known) for known in files]
        images, labels = contents[:2], contents[2:] or [None, None]
        whole, test = (_items(i, t) for i, t in zip(images, labels, strict=True))
        n = len(whole) - self.validation_size
        val = whole.take(slice(n, None)) if self.validation_size else None
        facts = {
            "data/name": self.name,
            "data/split": f"first {n} of 60000 train, the last {self.validation_size} validate",
            **file_facts(contents),
        }
        train = whole.take(slice(n))
        return Source(train, val, test, levels=255, num_classes=10, facts=facts)

    def _download(self, root: Path) -> None:
        """Download the files with torchvision."""

        def fetch() -> None:
            import torchvision.datasets  # slow to import, and needed only once

            getattr(torchvision.datasets, self.folder)(str(root), download=True)

        names = ", ".join(f"{Path(known.name).name}.gz" for known in self.files)
        where = root / self.folder / "raw"
        download(self.folder, root, fetch, files=f"{names} in {where}")


def _items(images: Contents, labels: Contents | None) -> Items:
    """Return the pictures and labels of two files."""
    pictures = read_idx(images)
    if pictures.shape[1:] != (28, 28):
        raise DataError(
            f"{images.path} holds items of shape {tuple(pictures.shape[1:])}, expected (28, 28)",
            hint="replace it with the original file",
        )
    return Items(pictures.unsqueeze(1), None if labels is None else read_idx(labels).long())


class MNIST(IDXImages):
    """Handwritten digits, (1, 28, 28): 50,000 / 10,000 / 10,000, or 60,000 / 0 / 10,000.

    LeCun, Bottou, Bengio & Haffner 1998, Proceedings of the IEEE 86(11). Arguments and errors
    are those of ``IDXImages``.

    >>> MNIST(validation_size=0).arguments["binarize"]
    'dynamic'
    """

    name = "mnist"
    folder = "MNIST"
    files = (
        KnownFile(
            "MNIST/raw/train-images-idx3-ubyte",
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        KnownFile(
            "MNIST/raw/t10k-images-idx3-ubyte",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
        KnownFile(
            "MNIST/raw/train-labels-idx1-ubyte",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
        KnownFile(
            "MNIST/raw/t10k-labels-idx1-ubyte",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    )


class FashionMNIST(IDXImages):
    """Pictures of clothes, (1, 28, 28): 50,000 / 10,000 / 10,000, or 60,000 / 0 / 10,000.

    Xiao, Rasul & Vollgraf 2017, https://arxiv.org/abs/1708.07747. Arguments and errors are those
    of ``IDXImages``.

    >>> FashionMNIST(binarize="none").arguments["validation_size"]
    10000
    """

    name = "fashion_mnist"
    folder = "FashionMNIST"
    files = (
        KnownFile(
            "FashionMNIST/raw/train-images-idx3-ubyte",
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        KnownFile(
            "FashionMNIST/raw/t10k-images-idx3-ubyte",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
        KnownFile(
            "FashionMNIST/raw/train-labels-idx1-ubyte",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        ),
        KnownFile(
            "FashionMNIST/raw/t10k-labels-idx1-ubyte",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    )
