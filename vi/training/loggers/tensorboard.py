"""Curves for TensorBoard, with all numbers of a step in one record and without a thread."""

import io
import os
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from tensorboard.compat.proto.event_pb2 import (
    Event,  # pyright: ignore[reportAttributeAccessIssue]
)
from tensorboard.compat.proto.summary_pb2 import (
    Summary,  # pyright: ignore[reportAttributeAccessIssue]
)
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.writer import FileWriter, SummaryWriter

from vi.files.atomic import append

_FILES = "events.out.tfevents.*"
_FLUSH_SECONDS, _FLUSH_BYTES = 30.0, 1 << 20
_SPLITS = ("train", "val", "test")
_FIRST = {"elbo", "kl", "reconstruction"}


class TensorBoard(TensorBoardLogger):
    """Lightning's logger, made faster by one record for each step instead of each number.

    Every number is in the file of the run directory under its own name. Numbers of a split are
    also in the folder of that split, under a name that all splits share: ``train/elbo`` is
    ``curves/elbo`` in ``train/``, and ``val/elbo`` is ``curves/elbo`` in ``val/``. TensorBoard
    treats each folder as a run and draws the curves of one name in one chart. It sorts charts
    by name, so that ``curves/`` comes first with ELBO, KL and reconstruction, then ``details/``
    with the other numbers of a split.

    A resumed run continues the present files.
    """

    has_saved_hyperparameters = False

    @cached_property
    def files(self) -> dict[str, Path]:
        """The file for the records of each folder."""
        return {}

    @cached_property
    def splits(self) -> "dict[str, _Events]":
        """The writer of records of each split."""
        return {}

    @property
    @rank_zero_experiment
    def experiment(self) -> SummaryWriter:
        """The writer of curves, pictures and figures."""
        if self._experiment is None:
            self._experiment = _Writer(self._file(""))
        return self._experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write the numbers of this step.

        NaN is not written: it only announces a name to the HParams tab.
        """
        prefix = f"{self._prefix}{self.LOGGER_JOIN_CHAR}" if self._prefix else ""
        placed: dict[str, list[Any]] = {}
        for name, number in metrics.items():
            value = float(number)
            for folder, tag in _places(name) if value == value else ():
                one = Summary.Value(tag=prefix + tag, simple_value=value)
                placed.setdefault(folder, []).append(one)
        for folder, values in placed.items():
            told = {"step": int(step or 0), "wall_time": time.time()}
            self._records(folder).add_event(Event(summary=Summary(value=values), **told))

    @rank_zero_only
    def save(self) -> None:
        """Write all pending records, and once hparams.yaml."""
        if self.hparams and not self.has_saved_hyperparameters:
            super().save()
            self.has_saved_hyperparameters = True
        elif self._experiment is not None:
            self._experiment.flush()
        for records in self.splits.values():
            records.flush()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write all pending records."""
        super().finalize(status)
        for records in self.splits.values():
            records.flush()

    def rewind(self, step: int, *, is_open: bool) -> None:
        """Cut the present files after this step, and continue the latest ones."""
        for name in ("", *_SPLITS):
            folder = Path(self.log_dir) / name
            for path in sorted(folder.glob(_FILES), key=lambda p: p.stat().st_mtime):
                size = _kept(path, name, step, is_open=is_open)
                if size:
                    os.truncate(path, size)
                    self.files[name] = path
                else:
                    path.unlink()

    def _file(self, folder: str) -> Path:
        """Return the file of a folder, a new one if the run is not resumed."""
        if folder not in self.files:
            self.files[folder] = _new(Path(self.log_dir) / folder)
        return self.files[folder]

    def _records(self, folder: str) -> "_Events":
        """Return the writer of records of a folder, which is opened at its first number."""
        if not folder:
            return self.experiment._get_file_writer().event_writer  # pyright: ignore
        if folder not in self.splits:
            self.splits[folder] = _Events(self._file(folder))
        return self.splits[folder]


def _places(name: str) -> list[tuple[str, str]]:
    """Return the pairs (folder, name) under which a number is written."""
    split, _, term = name.partition("/")
    if split not in _SPLITS or not term:
        return [("", name)]
    group = "curves" if term in _FIRST else "details"
    return [("", name), (split, f"{group}/{term}")]


def new_writer(folder: Path) -> SummaryWriter:
    """Return a writer of a new file in this folder, without a thread."""
    return _Writer(_new(folder))


def _new(folder: Path) -> Path:
    """Return an unused name for a file of events."""
    base = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}"
    names = (folder / f"{base}.{number}" for number in count())
    return next(path for path in names if not path.exists())


class _Writer(SummaryWriter):
    """Writer of torch without the thread that its file writer starts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(str(path.parent))

    def _get_file_writer(self) -> FileWriter:
        if self.file_writer is None:
            self.file_writer = FileWriter.__new__(FileWriter)  # without the thread that it starts
            self.file_writer.event_writer = _Events(self.path)  # pyright: ignore
            self.all_writers = {self.log_dir: self.file_writer}
        return self.file_writer


class _Events:
    """Writer of the records of one file, which is continued if it exists."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.flushed = time.monotonic()
        self.waiting = io.BytesIO()
        self.records = RecordWriter(self.waiting)
        if not path.exists():
            self.add_event(Event(wall_time=time.time(), file_version="brain.Event:2"))
            self.flush()

    def get_logdir(self) -> str:
        """Return the folder of the file."""
        return str(self.path.parent)

    def add_event(self, event: Any) -> None:
        """Append a record; write to the file after 30 s or 1 MiB."""
        self.records.write(event.SerializeToString())
        late = time.monotonic() - self.flushed > _FLUSH_SECONDS
        if late or self.waiting.tell() > _FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write all pending records to the file.

        Raises:
            RunDirectoryError: The disk is full or the folder cannot be written.
        """
        content = self.waiting.getvalue()
        self.waiting.seek(0)
        self.waiting.truncate()
        self.flushed = time.monotonic()
        append(self.path, content)

    close = flush

    def reopen(self) -> None:
        """Do nothing: the file is never closed."""


def _kept(path: Path, folder: str, step: int, *, is_open: bool) -> int:
    """Return the number of bytes up to the first record that is damaged or of a later step.

    Records of the test data are cut as well: they are written again when the run ends again.
    """
    size = 0
    for end, event in _events(path):
        names = [f"{folder}/{value.tag}".lstrip("/") for value in event.summary.value]
        of_validation = any(name.startswith("val") for name in names)
        of_test = any(name.startswith("test/") for name in names)
        if event.step > step or of_test or is_open and event.step == step and of_validation:
            break
        size = end
    return size


def _events(path: Path) -> Iterator[tuple[int, Any]]:
    """Iterate over pairs (end, event) of all complete records."""
    content, start = path.read_bytes(), 0
    while start + 12 <= len(content):
        (length,) = struct.unpack_from("<Q", content, start)
        end = start + 12 + length + 4
        if end > len(content):
            return
        try:
            event = Event.FromString(content[start + 12 : end - 4])
        except DecodeError:  # the rest of the file is damaged
            return
        yield end, event
        start = end
