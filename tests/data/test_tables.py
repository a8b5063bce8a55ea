"""Tables of a user: values, names, labels and everything that can be wrong with them."""

import csv
import gzip
import io

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vi.data.csv import CSV
from vi.errors import ConfigurationError, DataError


@pytest.fixture
def table(tmp_path):
    """Write a table and give its path."""

    def write(content, name="t.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


def whole(path, **arguments):
    """All rows, in one split."""
    return CSV(path, validation_fraction=0.0, test_fraction=0.0, **arguments).load()


def rows(path, **arguments):
    return sorted(whole(path, **arguments).train.stored.tolist())


def refuse(kind, match, path, **arguments):
    with pytest.raises(kind, match=match) as caught:
        CSV(path, **arguments).load()
    assert "\n" not in str(caught.value) + caught.value.hint
    return caught.value


numbers = st.lists(
    st.tuples(*[st.floats(-1e6, 1e6, width=32)] * 3), min_size=3, max_size=20, unique=True
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(numbers, st.sampled_from(",;\t"), st.booleans(), st.sampled_from(["\n", "\r\n"]))
def test_what_was_written_is_read(table, values, delimiter, header, end):
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end)
    writer.writerows([("a", "b", "c")] * header + values)
    data = CSV(table(text.getvalue())).load()
    parts = torch.cat([data.train.stored, data.val.stored, data.test.stored])
    assert sorted(parts.tolist()) == sorted(map(list, values))
    assert data.facts["data/columns"] == ("a,b,c" if header else "0,1,2")
    assert data.shape == (3,)
    assert parts.dtype == torch.float32


def test_the_split_does_not_depend_on_the_seed_of_the_run_but_on_its_own(table):
    path = table("\n".join(str(i) for i in range(100)))
    one, other = CSV(path).load(0), CSV(path).load(1)
    assert torch.equal(one.test.stored, other.test.stored)
    assert not torch.equal(one.test.stored, CSV(path, split_seed=1).load().test.stored)
    assert [len(one.train), len(one.val), len(one.test)] == [80, 10, 10]


def test_columns_are_chosen_in_the_order_asked(table):
    assert rows(table("a,b,c\n1,x,3\n"), columns=["c", "a"]) == [[3, 1]]


def test_quotes_blanks_blank_lines_and_a_byte_order_mark_do_not_disturb(table):
    assert rows(table('\ufeff"a, b", c\n\n "1" , 2\n\n3,4\n\n')) == [[1, 2], [3, 4]]
    assert rows(table(gzip.compress(b"a\n1\n", mtime=0), "t.csv.gz")) == [[1]]


def test_the_label_is_no_part_of_x_and_becomes_the_context(table):
    path = table("x,kind\n1,b\n2,a\n3,b\n4,c\n")
    data = whole(path, label="kind", context="label")
    assert data.shape == (1,)
    assert data.context_dim == 3
    batch = data.train.batch(torch.arange(4))
    found = dict(zip(batch.x[:, 0].tolist(), batch.given["context"].tolist(), strict=True))
    assert found == {1: [0, 1, 0], 2: [1, 0, 0], 3: [0, 1, 0], 4: [0, 0, 1]}
    assert whole(path, label="kind").context_dim == 0


def test_labels_that_are_numbers_are_sorted_as_numbers(table):
    data = whole(table("x,k\n1,10\n2,9\n"), label="k", context="label")
    batch = data.train.batch(data.train.stored[:, 0].argsort())
    assert batch.given["context"].argmax(1).tolist() == [1, 0]


@pytest.mark.parametrize("nothing", ["", "NA", "nan", "null", "None", "?", "N/A"])
def test_missing_values_are_kept_as_nan_and_reported(table, nothing):
    data = whole(table(f"a,b\n1,2\n{nothing},4\n5,{nothing}\n"))
    assert data.train.stored.isnan().sum() == 2
    assert len(data.train) == 3
    assert data.facts["data/n_missing"] == 2
    assert data.facts["data/first_missing_line"] == 3


def test_a_column_of_text_is_refused_with_its_name_and_the_columns_that_fit(table):
    error = refuse(DataError, "'kind' .*not numeric: 'long' in line 2", table("x,kind\n1,long\n"))
    assert error.hint == "choose data.columns=[x]"


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("", "empty"),
        ("\n\n", "empty"),
        ("a,b\n", "no rows"),
        ("a,b\n1,2\n3\n", "line 3 .* has 1 cells, the first has 2"),
        ("a,b\n1,2\n3,4,5\n", "line 3 .* has 3 cells"),
        ("a,a\n1,2\n", "more than one column called 'a'"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"a\n\x00\n", "zero bytes"),
        ('a\n"' + "x" * 200_000, "field larger"),
        ("1\n2\n", "2 items, at least 3"),
        (gzip.compress(b"a\n1\n", mtime=0)[:-3], "cannot be unzipped"),
    ],
)
def test_what_is_no_table_is_refused(table, content, match):
    error = refuse(DataError, match, table(content))
    assert error.exit_code == 3


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    refuse(DataError, "no such file", str(tmp_path / "no.csv"))
    refuse(DataError, "is a directory", str(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"columns": ["z"]}, "no column 'z'"),
        ({"label": "z"}, "no column 'z'"),
        ({"context": "label"}, "needs data.label"),
        ({"validation_fraction": 0.6, "test_fraction": 0.4}, "sum below 1"),
    ],
)
def test_options_that_cannot_be_right_are_refused(table, arguments, match):
    error = refuse(ConfigurationError, match, table("a,b\n1,2\n3,4\n5,6\n"), **arguments)
    assert error.exit_code == 2


def test_a_table_of_labels_alone_is_refused(table):
    refuse(ConfigurationError, "no column but the label", table("a\n1\n2\n3\n"), label="a")


def test_items_without_a_label_are_refused(table):
    path = table("x,k\n1,a\n2,\n3,b\n")
    refuse(DataError, r"1 items have no label \(first: line 3\)", path, label="k", context="label")


def test_values_have_the_default_precision(table, float64):
    assert whole(table("a\n0.1\n")).train.stored.item() == np.float64(0.1)


def test_old_faithful(real):
    data = whole(str(real("geyser/geyser.csv")), label="kind", context="label")
    assert data.train.stored.shape == (272, 2)
    assert data.train.stored.double().mean(0).tolist() == pytest.approx([3.4878, 70.897], abs=1e-3)
    assert data.train.given["context"].sum(0).tolist() == [172, 100]  # long, short
