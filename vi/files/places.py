"""The places of checkpoints in a run. This module imports nothing heavy."""

from pathlib import Path

from vi.errors import CheckpointError


def require_checkpoint(path: str | Path) -> None:
    """Refuse a path that is not a file.

    Raises:
        CheckpointError: There is no file at the path.

    >>> require_checkpoint("nowhere.ckpt")
    Traceback (most recent call last):
    vi.errors.CheckpointError: there is no checkpoint nowhere.ckpt
    """
    if not Path(path).is_file():
        raise CheckpointError(
            f"there is no checkpoint {path}",
            hint="a run keeps checkpoints/last.ckpt and checkpoints/best.ckpt",
        )
