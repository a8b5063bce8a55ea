"""What a table looks like where it cannot be read, and what to do about it today."""

import csv
import io
import warnings

import numpy as np
import pytest

import vi
from vi.data.csv import CSV
from vi.data.npz import NPZ
from vi.errors import ConfigurationError, DataError
from vi.training.checks.data import check_data
from vi.training.settings import TrainerSettings


@pytest.fixture
def table(tmp_path):
    """Write lines and give their path."""

    def write(*lines):
        path = tmp_path / "t.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return str(path)

    return write


def whole(path, **arguments):
    return CSV(path, validation_fraction=0.0, test_fraction=0.0, **arguments).load()


def refuse(match, hint, path, kind=DataError, **arguments):
    with pytest.raises(kind, match=match) as caught:
        whole(path, **arguments)
    assert hint in caught.value.hint
    assert "\n" not in str(caught.value) + caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    ("lines", "match", "hint"),
    [
        (["a;b", "10,25;2,56", "1,5;2,0"], "'a' .*'10,25' in line 2", "decimal=','"),
        (["10,25;2,56", "1,5;2,0"], "'1' .*'25;2' in line 1", "decimal=','"),
        (["a,b", "m,s", "1.5,2", "2.5,3"], "'a' .*'m' in line 2", "a row of units"),
        (["a|b", "1|2", "3|4"], r"'1\|2' in line 2", "separated by |"),
        (["1|2", "3|4"], r"'3\|4' in line 2", "separated by |"),
        (["a b", "1 2", "3 4"], "'1 2' in line 2", r"sep=r'\s+'"),
        (["a:b", "1:2.5", "3:4.5"], "'1:2.5' in line 2", "separated by a colon"),
        (["a,b", "'1.5','2'", "'2','3'"], '"\'1.5\'" in line 2', "in quotes of another kind"),
        (["a;b", "1;12,345,678", "2;1"], "'12,345,678' in line 2", "thousands are separated"),
        (["a,b", "1,12 345", "2,1"], "'12 345' in line 2", "thousands are separated"),
        (["a,b", "1,true", "2,false", "3,true"], "'b' .*'true' in line 2", "write 1 and 0"),
        (["a,b", "1,2024-01-31", "2,2024-02-01"], "'2024-01-31' in line 2", "dates and times"),
        (["a,b", "1,31.1.24", "2,1.2.24"], "'31.1.24' in line 2", "dates and times"),
        (["a,b", "1,12:30", "2,12:31"], "'12:30' in line 2", "dates and times"),
        (["a,b", "1,5 kg", "2,7 kg"], "'5 kg' in line 2", "a number with a unit"),
        (["a,b", "1,95%", "2,96%"], "'95%' in line 2", "a number with a unit"),
        (["a,b", "1,$5", "2,$6"], r"'\$5' in line 2", "a number with a unit"),
        (["a,b", *(["1,x", "2,y", "3,z"] * 3)], "'x' in line 2", "3 values (x, y, z)"),
        (["a,b", "1,-", "2,3"], "'-' in line 2", "leave the cell empty"),
        (["a,b", "1,2", "2,#N/A"], "'#N/A' in line 3", "leave the cell empty"),
        (["# made today", "a,b", "1,2"], "line 2 .* has 2 cells", "delete them"),
        (["a,b,", "1,2,", "3,4,"], "'2' .* has no value in any line", "choose data.columns=[a,b]"),
        (["a,b", "1,2", '3,"4', "5,6"], "line 4 .* has 2 cells|'4 5,6' in line 4", ""),
        (["a,b", "1,1_000", "2,3"], "'1_000' in line 2", "thousands are separated"),
        (["a,b", "1,2019_1", "2,2019_2"], "'2019_1' in line 2", "choose data.columns=[a]"),
        (["a", "long", "text"], "'a' .*'long' in line 2", "a table of numbers is needed"),
    ],
)  # fmt: skip
def test_a_cell_that_is_no_number_is_named_with_what_it_looks_like(table, lines, match, hint):
    """And its column, and the line of the file."""
    refuse(match, hint, table(*lines))


def test_the_columns_that_fit_are_named_beside_the_hint(table):
    error = refuse("'when'", "dates", table("when,x", "2024-01-31,1", "2024-02-01,2"))
    assert error.hint.endswith("or choose data.columns=[x]")


@pytest.mark.parametrize(
    ("cell", "more"), [("inf", ""), ("-Infinity", ""), ("1e400", ", the first of 2 such cells")]
)
@pytest.mark.parametrize("missing", ["refuse", "mask"])
def test_infinity_is_named_with_its_line(table, cell, more, missing):
    """Caught: counted within a split of random rows, and data.missing=mask as the way out."""
    rows = ["a,b", "1,2", "", "3,NA", f"5,{cell}", "7,8", f"9,{cell if more else 1}"]
    match = f"column 'b' of .*t.csv is infinite: '{cell}' in line 5{more}$"
    refuse(match, "leave the cell empty", table(*rows), missing=missing)


def test_the_line_of_a_missing_value_is_told_beside_its_item(table):
    network = vi.MLP([4])
    parts = (vi.DiagonalGaussian(1), vi.StandardNormal(1), vi.Gaussian())
    model = vi.VAE((2,), network, network, *parts)
    data = whole(table("a,b", "1,2", "3,", "5,6"))
    with pytest.raises(DataError, match=r"first: item \d; in the file: line 3\)"):
        check_data(data, model, TrainerSettings())


# Headers


@pytest.mark.parametrize(
    "lines",
    [
        ["2019,2020", "5.1,6.2", "5.3,6.1"],
        ["2019,2020", "5,6", "7,90"],
        ["1990,2000,2010", "5.1,6.2,1", "5.3,6.1,2"],
        ["0,1,2", "5.1,6.2,0.3", "5.3,6.1,0.4"],
        [",0,1,2", "0,5.1,6.2,0.3", "1,5.3,6.1,0.4"],
        ["id,2019,2020", "1,5,6", "2,7,8"],
    ],
)
def test_names_that_are_numbers_are_refused_as_such(table, lines):
    """Caught: they became a row of data, or a missing value, without a word."""
    match = f"the first line of .*t.csv looks like a header .* numbers: {lines[0]}"
    refuse(match, "y2019, not 2019", table(*lines))


def test_names_that_may_be_data_are_told(table):
    path = table("2019,2020", "1950,2030", "2000,1990")
    with pytest.warns(UserWarning, match=r"the first line .* \(2019,2020\) is read as data"):
        assert len(whole(path).train) == 3


@pytest.mark.parametrize(
    "lines",
    [
        ["0,1", "1,0", "1,1"],
        ["1,2", "3,4", "5,6"],
        ["0,0", "0.1,0.99", "0.2,0.98"],
        ["5,3", "0.1,0.2", "0.3,0.1"],
        ["1.5,2.5,3.5", "1,2,3", "4,5,6"],
        ["1", "2", "3"],
        ["NA,1.5", "2,3", "4,5"],
        ["?,1,2", "2,3,4", "4,5,6"],
    ],
)
def test_rows_of_numbers_are_data(table, lines):
    """Without a word: a warning is an error here."""
    assert len(whole(table(*lines), missing="mask").train) == 3


def test_a_column_of_text_beside_numbers_is_no_header(table):
    data = whole(table("5.1,3.5,setosa", "4.9,3.0,setosa", "7.0,3.2,versicolor"), columns=["0"])
    assert len(data.train) == 3


# The index of a data frame


@pytest.mark.parametrize("name", ["", '""', "Unnamed: 0"])
@pytest.mark.parametrize("numbers", [(0, 1, 2), (1, 2, 3), (7, 3, 12)])
def test_the_index_of_a_data_frame_is_left_out_with_a_warning(table, name, numbers):
    path = table(f"{name},a,b", *(f"{n},{n}.5,2.25" for n in numbers))
    with pytest.warns(UserWarning, match="no name and numbers the rows: it is left out of x"):
        data = whole(path)
    assert data.shape == (2,)
    assert data.facts["data/columns"] == "a,b"
    assert sorted(data.train.stored[:, 0].tolist()) == sorted(n + 0.5 for n in numbers)


def test_the_index_may_be_asked_for(table):
    path = table(",a", "0,1.5", "1,2.5", "2,3.5")
    data = whole(path, columns=["0", "a"])
    assert sorted(data.train.stored[:, 0].tolist()) == [0, 1, 2]


def test_the_index_may_be_the_label_and_a_table_may_have_nothing_else(table):
    path = table(",a", "0,1.5", "1,2.5", "2,3.5")
    assert whole(path, label="0", context="label").context_dim == 3
    assert whole(table('""', "0", "1", "2")).shape == (1,)


@pytest.mark.parametrize("cells", [("0.5", "1", "2"), ("1", "1", "2"), ("-1", "0", "1")])
def test_an_unnamed_column_that_does_not_count_stays(table, cells):
    data = whole(table(",a", *(f"{cell},2.5" for cell in cells)))
    assert data.shape == (2,)


def test_a_first_column_with_a_name_stays(table):
    assert whole(table("t,a", "0,1.5", "1,2.5", "2,3.5")).shape == (2,)


def test_a_table_that_pandas_wrote_is_read_alike_with_and_without_its_index(table):
    """600 rows of doubles; the law of the case: the index is no part of what is modelled."""
    x = np.random.default_rng(0).normal(size=(60, 2))
    plain, indexed = io.StringIO(), io.StringIO()
    csv.writer(plain).writerows([("a", "b"), *x.tolist()])
    csv.writer(indexed).writerows([("", "a", "b"), *([i, *row] for i, row in enumerate(x))])
    expected = whole(table(plain.getvalue())).train.stored
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = whole(table(indexed.getvalue())).train.stored
    assert found.tolist() == expected.tolist()


def test_a_header_that_r_left_one_name_out_of_is_explained(table):
    refuse(
        "line 2 .* 3 cells, the first has 2", "as R writes it", table("a,b", '"1",2,3', '"2",4,5')
    )


# Options


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"columns": []}, "data.columns names no column"),
        ({"columns": ["a", "b", "a"]}, "data.columns names 'a' more than once"),
        ({"columns": ["a", "b"], "label": "b"}, "data.columns names the label 'b'"),
    ],
)
def test_columns_that_cannot_be_right_are_refused(table, arguments, match):
    error = refuse(match, "", table("a,b", "1,2", "3,4", "5,6"), ConfigurationError, **arguments)
    assert error.exit_code == 2


def test_levels_below_the_bytes_that_are_binarised_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, x=np.arange(0, 201, 5, dtype=np.uint8).reshape(-1, 1))
    for binarize in ("dynamic", "static"):
        with pytest.raises(DataError, match="bytes up to 200; divided by data.levels=10") as error:
            NPZ(str(path), levels=10, binarize=binarize).load()
        assert "data.levels=200 or 255" in error.value.hint
    assert NPZ(str(path), levels=10).load().facts["data/levels"] == 10
    assert NPZ(str(path), levels=200, binarize="static").load().facts["data/binarize"] == "static"


@pytest.mark.parametrize("value", [np.inf, -np.inf])
@pytest.mark.parametrize("missing", ["refuse", "mask"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_an_infinite_number_of_an_array_is_named_with_its_row(tmp_path, value, missing, dtype):
    """Among NaN, which max() would give in its place."""
    x = np.ones((20, 3), dtype)
    x[3, 0], x[17, 2] = np.nan, value
    np.savez(tmp_path / "x.npz", x=x)
    match = rf"'x' of .* holds 1 infinite values \(first: {value} in row 17, entry \[2\]\)"
    with pytest.raises(DataError, match=match):
        NPZ(str(tmp_path / "x.npz"), missing=missing).load()
