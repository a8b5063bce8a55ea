"""Files that cannot be read end a command with 3 and two lines, at once and without a trace."""

import gzip
import os

import numpy as np
import pytest
from PIL import Image

from tests.cli.test_commands import command
from vi.cli import train

SHORT = ["trainer.max_steps=2", "hidden=[4]", "latent_dim=2", "evaluation.num_samples=2"]
SHORT += ["trainer.device=cpu", "trainer.progress_bar=false", "logger=csv"]
HEADER = b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f8', 'fortran_order': False, 'shape': (%d,), }"


def pipe(folder):
    os.mkfifo(folder / "a.csv")


def terabytes(folder):
    (folder / "a.npy").write_bytes((HEADER % 2**39).ljust(128) + bytes(64))


def cut(folder):
    (folder / "a.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n3,4\n5,6\n")[:-5])


def counts(folder):
    np.savez(folder / "a.npz", x=np.arange(60, dtype=np.uint8).reshape(20, 3))


def pictures(folder):
    for i in range(4):
        Image.new("L", (4, 4), i).save(folder / f"{i}.png")


def table(folder):
    (folder / "a.csv").write_text("a;b\n1,5;2\n2,5;3\n3,5;4\n")


@pytest.mark.parametrize(
    ("make", "options", "code", "said"),
    [
        (pipe, ["data=csv", "data.path=a.csv"], 3, "it is a named pipe"),
        (lambda _: None, ["data=npz", "data.path=/dev/zero"], 3, "it is a device"),
        (terabytes, ["data=npz", "data.path=a.npy"], 3, "states 4398046511104 bytes"),
        (cut, ["data=csv", "data.path=a.csv.gz"], 3, "cannot be unzipped"),
        (table, ["data=csv", "data.path=a.csv"], 3, "decimals are written with commas"),
        (counts, ["data=npz", "data.path=a.npz", "likelihood=poisson"], 3, "data.levels=1 or"),
        (pictures, ["data=image_folder", "data.path=.", "data.size=100000"], 2, "27.9 GiB"),
        (table, ["data=csv", "data.path=a.csv", "data.columns=[]"], 2, "names no column"),
        (table, ["data=csv", "data.path=a.csv", "data.columns=[a,a]"], 2, "'a' more than once"),
        (
            counts,
            ["data=npz", "data.path=a.npz", "data.levels=10", "data.binarize=static"],
            3,
            "bytes up to 59; divided by data.levels=10",
        ),
    ],
)
def test_what_cannot_be_read_ends_as_promised(tmp_path, capsys, make, options, code, said):
    make(tmp_path)
    with pytest.raises(SystemExit) as ended:
        command(train.main, [*options, *SHORT, "hydra.run.dir=run"], tmp_path)
    assert ended.value.code == code
    errors = capsys.readouterr().err
    assert said in errors
    assert "Traceback" not in errors
    assert not list(tmp_path.rglob("model"))
