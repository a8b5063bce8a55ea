"""Tables that somebody else made: refused in one line, at once, before anything is allocated."""

import pytest

from tests.support.hostile import READERS, refuse
from vi.data.csv import CSV

pytestmark = pytest.mark.usefixtures("no_hang")


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"1," * 1_000_001, "its first line has more than 1000000 cells"),
        (b"1,2\n" + b"1," * 1_000_001, "line 2 .* has 1000002 cells, the first has 2"),
        (b"a\n" + b"x" * 1_000_000, "field larger than field limit .131072. .line 2."),
        (b"a\n" + b"9" * 100_000, "infinite: '9{40}...' in line 2"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "is an HDF5 file .h5ad, loom, mat"),
        (b"PAR1" + bytes(100), "is a Parquet file"),
        (b"PK\3\4" + bytes(100), "is a zip archive"),
        (b"\xff\xfea\0,\0b\0", "UTF-16 text, not UTF-8"),
        ("a\n1\ngröße\n1\n".encode("latin1"), "not UTF-8 text .line 3."),
        (b"a\n" * 9000 + b"\xff", "not UTF-8 text .line 9001."),
        (b"a\n1\n2\n\0", "it holds zero bytes .line 4."),
    ],
)
def test_text_that_is_no_table_is_refused(tmp_path, data, match):
    path = tmp_path / "x.csv"
    path.write_bytes(data)
    refuse(match, READERS["csv"], path)


def test_a_column_may_be_called_as_a_format_begins(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("PAR1,PAR2\n1,2\n3,4\n5,6\n")
    assert CSV(str(path)).load().shape == (2,)


def test_a_table_may_have_one_long_cell(tmp_path):
    """Caught: an array of text, whose cells are all as wide as the longest: 24 GB."""
    rows = [f"{i},{i / 7}" for i in range(20_000)]
    path = tmp_path / "x.csv"
    path.write_text("\n".join(["a,b,note", f"0.5,1,{'x' * 100_000}", *(f"{r},-" for r in rows)]))
    assert CSV(str(path), columns=["a", "b"]).load().shape == (2,)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_end_of_line_is_one(tmp_path, end):
    path = tmp_path / "x.csv"
    path.write_bytes(end.join(["a,b;c", "1,2", "3,4", "5,6", ""]).encode())
    data = CSV(str(path), validation_fraction=0.0, test_fraction=0.0).load()
    assert sorted(data.train.stored.tolist()) == [[1, 2], [3, 4], [5, 6]]
