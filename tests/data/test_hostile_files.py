"""Places and sizes that nobody can read: refused at once, before anything is allocated."""

import os
import socket

import pytest

from tests.support.hostile import READERS, refuse, refused_at_once
from vi.data.binary_latent import BinaryLatentData
from vi.data.csv import CSV
from vi.data.image_folder import ImageFolder
from vi.data.npz import NPZ
from vi.data.reading import memory
from vi.data.reading.files import read
from vi.data.synthetic import LinearGaussianData, Mixture2D
from vi.data.two_moons import TwoMoons

pytestmark = pytest.mark.usefixtures("no_hang")


# Not regular files


def pipe(path):
    os.mkfifo(path)


def listening(path):
    unix = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(path.parent)  # the name of a socket has at most some hundred letters
    unix.bind(path.name)
    os.chdir(here)
    unix.close()


def to_zeros(path):
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize(
    ("make", "match"),
    [
        (pipe, "it is a named pipe"),
        (to_zeros, "it is a device"),
        (listening, "cannot read .*x.png"),
        (lambda path: path.symlink_to("nowhere"), "no such file"),
    ],
    ids=["pipe", "zeros", "socket", "broken link"],
)
def test_only_regular_files_are_read(tmp_path, reader, make, match):
    """Caught: open() of a pipe, which waits for a writer; /dev/zero, which never ends."""
    make(tmp_path / "x.png")
    refuse(match, reader, tmp_path / "x.png")


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "~nobody-of-this-name/x"])
@pytest.mark.parametrize("data", [CSV, NPZ, ImageFolder])
def test_what_is_no_path_is_refused(data, name):
    refuse("cannot (find|read)|is not a folder", lambda: data(name).load())


def test_a_file_that_memory_does_not_hold_is_refused(tmp_path):
    """A terabyte of nothing, which takes no room on the disk."""
    path = tmp_path / "large.npy"
    path.touch()
    os.truncate(path, 1 << 40)
    error = refused_at_once("it has 1.02e.03 GiB, and .* of memory are free", read, path)
    assert str(path) in str(error)


# Sizes that no machine holds


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: LinearGaussianData(n_train=10**15), "1000000000002000 data of 8 numbers would"),
        (lambda: LinearGaussianData(n_test=10**30), "data of 8 numbers would take 5.96e.22 GiB"),
        (lambda: LinearGaussianData(data_dim=10**9), "data.data_dim=1000000000 would take"),
        (lambda: LinearGaussianData(latent_dim=10**15), "data.data_dim=8 would take"),
        (lambda: Mixture2D(num_clusters=10**15), "1000000000000000 clusters would take"),
        (lambda: Mixture2D(n_val=10**15), "data of 10 numbers would take"),
        (lambda: TwoMoons(n_train=10**15), "data of 2 numbers would take"),
        (lambda: BinaryLatentData(data_dim=10**15), "data.data_dim=1000000000000000 would take"),
        (lambda: BinaryLatentData(n_train=10**15), "data of 48 numbers would take"),
    ],
)
def test_data_that_no_machine_holds_are_not_drawn(make, match):
    refused_at_once(match, lambda: make().load())


def test_labels_of_as_many_kinds_as_rows_are_not_made_one_hot(tmp_path, monkeypatch):
    """Caught: a unit matrix of 40 GB for a column of names."""
    monkeypatch.setattr(memory, "available", lambda: 1 << 26)
    path = tmp_path / "x.csv"
    path.write_text("a,name\n" + "".join(f"{i},n{i}\n" for i in range(10_000)))
    match = "8000 labels of 10000 kinds, one-hot, would take 305 MiB, and 64 MiB of memory"
    refuse(match, CSV(str(path), label="name", context="label").load)
