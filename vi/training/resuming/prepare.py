"""Preparation of the run folder, and of the checkpoint of a resumed run."""

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

from vi.files.atomic import remove_left_over, require_room
from vi.files.checkpoint_file import is_sealed, read_checkpoint
from vi.files.older_versions import present_checkpoint
from vi.files.same_data import require_same_data
from vi.training.loggers.curves import Curves
from vi.training.module import TrainingModule
from vi.training.resuming.checkpoint import require_same_seed
from vi.training.resuming.checkpoint_schema import check
from vi.training.resuming.ended import require_not_done


def read_run(path: Path, module: TrainingModule) -> dict[str, Any]:
    """Read and check the checkpoint of a resumed run; no entry is used before all are checked.

    Raises:
        CheckpointError: The file is missing, damaged, or belongs to other parts.
        ConfigurationError: The run has taken more steps than are allowed now, or had another seed.
        DataError: The data differ from those of the run.
    """
    checkpoint = present_checkpoint(read_checkpoint(path), module)
    check(checkpoint, module, path)
    if not is_sealed(path):
        warnings.warn(f"{path} has no checksum: an older version wrote it", stacklevel=3)
    run = checkpoint.get("run", {})
    require_same_seed(run, module.seed)
    require_same_data(run.get("facts", {}), module.data.facts)
    require_not_done(module, checkpoint["global_step"])
    return checkpoint


def prepare(
    run_dir: Path,
    module: TrainingModule,
    loggers: Iterable[Logger],
    resumed: dict[str, Any] | None,
) -> None:
    """Remove what a killed run left unfinished, and check that the disk has room.

    Raises:
        RunDirectoryError: A checkpoint cannot be written.
    """
    folder = run_dir / "checkpoints"
    remove_left_over(run_dir, folder, run_dir / "model")
    require_room(folder, sum(value.nbytes for value in module.state_dict().values()))
    step = -1 if resumed is None else resumed["global_step"]
    is_open = resumed is not None and resumed.get("run", {}).get("open", False)
    if resumed is not None or not (folder / "last.ckpt").is_file():
        for logger in loggers:
            if isinstance(logger, Curves):
                logger.rewind(step, is_open=is_open)
