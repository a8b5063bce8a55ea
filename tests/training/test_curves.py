"""Curves that a kill leaves no gap and no duplicate in."""

import csv

import pytest
from google.protobuf.message import DecodeError
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event

from tests.support.runs import EPOCH, Calls, fit, last_of, rows
from vi.errors import RunDirectoryError
from vi.files import atomic
from vi.training.loggers import csv_curves
from vi.training.loggers.csv_curves import CSVCurves
from vi.training.loggers.tensorboard import TensorBoard


def log(logger, steps, name="train/elbo"):
    for step in steps:
        logger.log_metrics({name: float(step)}, step=step)
    logger.save()


def steps_of(folder):
    with (folder / "csv" / "version_0" / "metrics.csv").open(newline="") as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


def events_of(folder):
    """[(step, tag)] of all files."""
    found = []
    for path in sorted(folder.glob("events.*")):
        for record in RawEventFileLoader(str(path)).Load():
            event = Event.FromString(record)
            found += [(event.step, value.tag) for value in event.summary.value]
    return found


def test_a_csv_goes_on_where_its_run_does(tmp_path):
    """Caught: version_1; the rows of later steps kept."""
    log(CSVCurves(tmp_path), range(1, 8))
    again = CSVCurves(tmp_path)
    again.rewind(4, is_open=False)
    log(again, range(5, 10))
    assert steps_of(tmp_path) == list(range(1, 10))
    assert [path.name for path in (tmp_path / "csv").iterdir()] == ["version_0"]


def test_a_row_cut_off_by_a_kill_is_no_row(tmp_path):
    log(CSVCurves(tmp_path), range(1, 8))
    path = tmp_path / "csv" / "version_0" / "metrics.csv"
    path.write_bytes(path.read_bytes() + b"8,0.")
    again = CSVCurves(tmp_path)
    again.rewind(9, is_open=False)
    log(again, [8])
    assert steps_of(tmp_path) == list(range(1, 9))


def test_a_new_column_is_a_new_file_or_the_old_one(tmp_path, monkeypatch):
    """Whole at every moment. Caught: a file opened for writing, and killed then."""
    logger = CSVCurves(tmp_path)
    log(logger, [1, 2])

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            log(logger, [3], "val/elbo")
    assert steps_of(tmp_path) == [1, 2]
    again = CSVCurves(tmp_path)
    again.rewind(2, is_open=False)
    log(again, [3], "val/elbo")
    assert steps_of(tmp_path) == [1, 2, 3]


def test_a_validation_that_is_yet_to_come_has_no_row(tmp_path):
    logger = CSVCurves(tmp_path)
    log(logger, [5, 6])
    log(logger, [6], "val/elbo")
    logger.rewind(6, is_open=True)
    assert steps_of(tmp_path) == [5, 6]
    assert "val/elbo" not in logger.columns


def test_a_new_run_leaves_the_curves_of_an_older_one(tmp_path):
    """As Lightning's logger: with another number."""
    log(CSVCurves(tmp_path), [1])
    log(CSVCurves(tmp_path), [1])
    assert sorted(path.name for path in (tmp_path / "csv").iterdir()) == ["version_0", "version_1"]


def test_records_go_on_where_their_run_does(tmp_path):
    """In the same file. Caught: two files with the same steps."""
    log(TensorBoard(tmp_path, name="", version=""), range(1, 8))
    again = TensorBoard(tmp_path, name="", version="")
    again.rewind(4, is_open=False)
    log(again, range(5, 10))
    assert events_of(tmp_path) == [(step, "train/elbo") for step in range(1, 10)]
    assert len(list(tmp_path.glob("events.*"))) == 1


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_record_cut_off_by_a_kill_is_no_record(tmp_path, cut):
    """Caught: TensorBoard stops at it, and sees nothing of what comes later."""
    log(TensorBoard(tmp_path, name="", version=""), range(1, 8))
    (path,) = tmp_path.glob("events.*")
    path.write_bytes(path.read_bytes()[:-cut])
    again = TensorBoard(tmp_path, name="", version="")
    again.rewind(9, is_open=False)
    log(again, [7])
    assert events_of(tmp_path) == [(step, "train/elbo") for step in range(1, 8)]


def test_records_are_written_without_a_thread(tmp_path, monkeypatch):
    """A full disk is an error here and now. Caught: "Exception in thread"."""
    logger = TensorBoard(tmp_path, name="", version="")
    log(logger, [1])

    def full(path, content):
        raise RunDirectoryError(f"cannot write {path}: full", hint="")

    monkeypatch.setattr("vi.training.loggers.tensorboard.append", full)
    with pytest.raises(RunDirectoryError, match="cannot write .*events.out.tfevents"):
        log(logger, [2])


def test_a_file_that_takes_nothing_is_told(tmp_path):
    with pytest.raises(RunDirectoryError, match="cannot write"):
        atomic.append(tmp_path, b"x")


def test_rows_wait_for_each_other_but_not_for_a_checkpoint(tmp_path, monkeypatch):
    """All rows up to a checkpoint are on the disk before it is.

    Caught: rows that wait while the file is written.
    """
    monkeypatch.setattr(csv_curves, "_ROWS", 10**6)
    found = []

    def look():
        if last_of(tmp_path).is_file():
            found.append(max(steps_of(tmp_path)))

    logger = CSVCurves(tmp_path)
    fit(tmp_path, loggers=[logger], callbacks=[Calls("on_train_batch_start", EPOCH, look)])
    assert found == [EPOCH]


def test_a_run_killed_before_its_first_checkpoint_begins_its_curves_anew(tmp_path):
    """Caught: rows of steps that no checkpoint knows of, twice."""
    log(CSVCurves(tmp_path), [4, 6])
    fit(tmp_path, loggers=[CSVCurves(tmp_path)])
    assert sorted({int(row["step"]) for row in rows(tmp_path)}) == [4, 6, 8, 12, 16, 18]
    assert [path.name for path in (tmp_path / "csv").iterdir()] == ["version_0"]


def test_a_damaged_record_ends_what_is_read_of_events(tmp_path):
    """Caught: a DecodeError of protobuf out of a resume."""
    log(TensorBoard(tmp_path, name="", version=""), range(1, 8))
    (path,) = tmp_path.glob("events.*")
    content = bytearray(path.read_bytes())
    *_, start = _starts(content)
    content[start + 12] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DecodeError):
        Event.FromString(bytes(content[start + 12 : -4]))
    again = TensorBoard(tmp_path, name="", version="")
    again.rewind(9, is_open=False)
    log(again, [7, 8])
    assert [step for step, _ in events_of(tmp_path)] == list(range(1, 9))


def _starts(content):
    """Where each record begins."""
    start = 0
    while start < len(content):
        yield start
        start += 16 + int.from_bytes(content[start : start + 8], "little")
