"""Where a run keeps its checkpoints. Nothing heavy is imported here."""

from pathlib import Path

from vi.errors import CheckpointError


def require_checkpoint(path: str | Path) -> None:
    """Refuse a path that is no file.

    Raises:
        CheckpointError: It is none.
    """
    if not Path(path).is_file():
        raise CheckpointError(
            f"there is no checkpoint {path}",
            hint="a run keeps checkpoints/last.ckpt and checkpoints/best.ckpt",
        )
