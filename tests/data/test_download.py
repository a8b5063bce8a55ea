"""What torchvision can download is downloaded; without a network one line says what to do."""

import shutil
import socket
import sys
from pathlib import Path
from types import ModuleType
from urllib.error import URLError

import pytest

from vi.data.mnist import MNIST, FashionMNIST
from vi.data.omniglot import Omniglot
from vi.errors import DataError

SETS = [MNIST, FashionMNIST, Omniglot]


@pytest.fixture
def torchvision(monkeypatch):
    """Replace torchvision, which takes seconds to import, by one whose sets call a function."""

    def replace(fetch):
        package, module = ModuleType("torchvision"), ModuleType("torchvision.datasets")
        package.datasets = module
        for cls in SETS:
            setattr(module, cls.__name__, fetch)
        monkeypatch.setitem(sys.modules, "torchvision", package)
        monkeypatch.setitem(sys.modules, "torchvision.datasets", module)

    return replace


def refuse(cls, root):
    with pytest.raises(DataError, match=f"^{cls.__name__} not found in {root}$") as caught:
        cls(dir=str(root)).load()
    folder = root / ("omniglot" if cls is Omniglot else f"{cls.__name__}/raw")
    for part in ("offline?", "data=digits", str(folder), "VI_DATA_DIR"):
        assert part in caught.value.hint


@pytest.mark.parametrize("cls", SETS)
@pytest.mark.parametrize(
    "error", [URLError("no route"), RuntimeError("mirrors\nfailed"), PermissionError("read-only")]
)
def test_a_failed_download_says_what_to_do_and_nothing_else(
    cls, error, tmp_path, torchvision, capfd
):
    def fetch(root, **kwargs):
        (Path(root) / "MNIST" / "raw").mkdir(parents=True)
        print("Failed to download (trying next)")
        raise error

    torchvision(fetch)
    refuse(cls, tmp_path / "data")
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_a_silent_server_is_not_waited_for(tmp_path, torchvision):
    seen = []

    def fetch(*args, **kwargs):
        seen.append(socket.getdefaulttimeout())
        raise URLError("timed out")

    torchvision(fetch)
    refuse(MNIST, tmp_path)
    assert seen == [10.0]
    assert socket.getdefaulttimeout() is None


def test_downloaded_files_are_read(real, tmp_path, torchvision):
    source = real("MNIST/raw")

    def fetch(root, *, download):
        assert download
        shutil.copytree(source, Path(root) / "MNIST/raw")

    torchvision(fetch)
    assert len(MNIST(dir=str(tmp_path)).load().train) == 50_000


@pytest.mark.slow
@pytest.mark.parametrize("cls", SETS)
def test_the_real_torchvision_fails_quietly_without_a_network(cls, tmp_path, no_network, capfd):
    refuse(cls, tmp_path)
    assert capfd.readouterr() == ("", "")
