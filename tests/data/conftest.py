"""Where the real files are, and a checksum cache that no test shares with the user."""

import os
import shutil
import signal
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """Markers of verified files go to a folder of this test."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


@pytest.fixture
def data_dir():
    """The folder of real data, as the environment names it."""
    folder = os.environ.get("VI_DATA_DIR")
    if not folder:
        pytest.skip("VI_DATA_DIR names no folder of real data")
    return Path(folder)


@pytest.fixture
def real(data_dir):
    """Look up a real file, or skip by its name."""

    def look_up(name):
        path = data_dir / name
        if not path.exists():
            pytest.skip(f"VI_DATA_DIR has no {name}")
        return path

    return look_up


@pytest.fixture
def writable_copy(real, tmp_path):
    """Copy real files into a folder of the same layout that a test may damage."""

    def copy(*names):
        for name in names:
            to = tmp_path / name
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(real(name), to)
        return tmp_path

    return copy


@pytest.fixture
def no_network(monkeypatch):
    """Every connection fails at once, as on a machine that is offline."""

    def refuse(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.delenv("http_proxy", raising=False)
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.delenv("HTTP_PROXY", raising=False)
    monkeypatch.delenv("HTTPS_PROXY", raising=False)


SECONDS = 60.0  # on a machine that does much else; at once means a tenth of one


@pytest.fixture
def no_hang():
    """A test that waits for a pipe, or reads without end, fails rather than hangs."""

    def late(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
