"""Reading and writing of checkpoints for Lightning: atomic, and delayed if frequent."""

import time
from pathlib import Path
from typing import Any

from lightning.pytorch.plugins.io import CheckpointIO

from vi.errors import CheckpointError, RunDirectoryError
from vi.files.atomic import write_atomically
from vi.files.checkpoint_file import read_checkpoint, sealed

INTERVAL = 1.0  # seconds after the previous files, before which files ``LATER`` wait


class CheckpointFiles(CheckpointIO):
    """Lightning's input and output of checkpoints.

    A file marked ``LATER`` is written if a second has passed since the previous files, and
    otherwise waits, so that short epochs do not wait for the disk. A file marked ``WITH_THE_NEXT``
    waits for another file. Files are written in their order.

    Args:
        resumed: The checkpoint of a resumed run, read and checked before.
    """

    LATER = "later"
    WITH_THE_NEXT = "with the next"

    def __init__(self, resumed: dict[str, Any] | None = None) -> None:
        self.resumed = resumed
        self.latest = -float("inf")
        self.pending: dict[Path, memoryview] = {}

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write the checkpoint now, or keep it until the next flush."""
        path = Path(path)
        self.pending.pop(path, None)
        self.pending[path] = sealed(checkpoint)
        due = storage_options is None or time.monotonic() - self.latest >= INTERVAL
        if due and storage_options != self.WITH_THE_NEXT:
            self.flush()

    def flush(self) -> None:
        """Write all files that wait.

        Raises:
            RunDirectoryError: The disk is full or the folder cannot be written.
        """
        while self.pending:
            path, content = next(iter(self.pending.items()))
            self._write(path, content)
            self.pending.pop(path, None)  # only now, since a signal may interrupt the writing
        self.latest = time.monotonic()

    def _write(self, path: Path, content: memoryview) -> None:
        """Write one file; an error states which earlier checkpoint is intact."""
        try:
            write_atomically(path, content)
        except RunDirectoryError as error:
            self.pending.clear()  # else last.ckpt could be written without its best.ckpt
            raise RunDirectoryError(f"{error}{_intact(path)}", hint=error.hint) from error

    def load_checkpoint(self, path: str | Path, *_: Any, **__: Any) -> dict[str, Any]:
        """Return the checkpoint that was read before."""
        assert self.resumed is not None  # a resumed run has read it
        return self.resumed

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete a file; folders are never deleted."""
        self.pending.pop(Path(path), None)
        if Path(path).is_file():
            Path(path).unlink()


def _intact(path: Path) -> str:
    """Return the end of the message that names the earlier checkpoint, if it is readable."""
    try:
        step = read_checkpoint(path)["global_step"]
    except (CheckpointError, KeyError):
        return ""
    return f"; previous checkpoint step={step} is intact"
