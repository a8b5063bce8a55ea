"""How Lightning reads and writes checkpoints: whole, and not more often than the disk likes."""

import time
from pathlib import Path
from typing import Any

from lightning.pytorch.plugins.io import CheckpointIO

from vi.errors import CheckpointError, RunDirectoryError
from vi.files.atomic import write_atomically
from vi.files.checkpoint_file import read_checkpoint, sealed

INTERVAL = 1.0  # seconds that files may wait for each other


class CheckpointFiles(CheckpointIO):
    """How Lightning reads and writes checkpoints.

    What may come ``LATER`` is written if a second has passed since the latest files, and else
    waits, so that short epochs do not wait for the disk; what comes ``WITH_THE_NEXT`` waits for
    another file. All are written in their order.

    Args:
        resumed: What was read, and checked, before the run began.
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
        """Write it now or soon."""
        path = Path(path)
        self.pending.pop(path, None)
        self.pending[path] = sealed(checkpoint)
        due = storage_options is None or time.monotonic() - self.latest >= INTERVAL
        if due and storage_options != self.WITH_THE_NEXT:
            self.flush()

    def flush(self) -> None:
        """Write what has waited.

        Raises:
            RunDirectoryError: The disk is full or the folder cannot be written.
        """
        while self.pending:
            path, content = next(iter(self.pending.items()))
            self._write(path, content)
            self.pending.pop(path, None)  # only now: a signal may have come meanwhile
        self.latest = time.monotonic()

    def _write(self, path: Path, content: memoryview) -> None:
        try:
            write_atomically(path, content)
        except RunDirectoryError as error:
            self.pending.clear()  # else the next would be one that its best file is missing for
            raise RunDirectoryError(f"{error}{_intact(path)}", hint=error.hint) from error

    def load_checkpoint(self, path: str | Path, *_: Any, **__: Any) -> dict[str, Any]:
        """What was read."""
        assert self.resumed is not None  # a run that goes on has read it
        return self.resumed

    def remove_checkpoint(self, path: str | Path) -> None:
        """Of files only, never of folders."""
        self.pending.pop(Path(path), None)
        if Path(path).is_file():
            Path(path).unlink()


def _intact(path: Path) -> str:
    """What is left of an earlier time."""
    try:
        step = read_checkpoint(path)["global_step"]
    except (CheckpointError, KeyError):
        return ""
    return f"; previous checkpoint step={step} is intact"
