"""Construction of Lightning's trainer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers import Logger

from vi.errors import CheckpointError
from vi.files.checkpoint_file import read_checkpoint
from vi.files.older_versions import present_checkpoint
from vi.training.callbacks.checkpoints import Best, Last
from vi.training.callbacks.progress import ProgressBar
from vi.training.devices import chosen_device
from vi.training.loggers.csv_curves import CSVCurves
from vi.training.loggers.tensorboard import TensorBoard
from vi.training.module import TrainingModule
from vi.training.processes import is_first
from vi.training.quiet import quiet
from vi.training.resuming.checkpoint_files import CheckpointFiles
from vi.training.resuming.checkpoint_schema import check_weights


def lightning_trainer(
    run_dir: Path,
    module: TrainingModule,
    callbacks: Sequence[pl.Callback],
    loggers: Sequence[Logger] | None,
    resumed: dict[str, Any] | None,
    ckpt_path: str | Path | None,
) -> pl.Trainer:
    """Return a Lightning trainer with our files and signals, and without limits on steps.

    Args:
        run_dir: Folder of the run.
        module: The module to train.
        callbacks: Callbacks beside the progress bar and the checkpoints.
        loggers: TensorBoard and CSV if not given.
        resumed: The checkpoint of a resumed run, otherwise None.
        ckpt_path: The file of that checkpoint.
    """
    settings = module.settings
    if loggers is None:
        board = TensorBoard(run_dir, name="", version="", default_hp_metric=False)
        loggers = [board, CSVCurves(run_dir)]
    device = chosen_device(settings.device, settings.devices)
    bars = [ProgressBar()] if settings.progress_bar and is_first(settings.devices) else []
    files, folder = CheckpointFiles(resumed), run_dir / "checkpoints"
    other = Path(ckpt_path).with_name("best.ckpt") if ckpt_path is not None else None
    kept = [Best(folder / "best.ckpt", other), Last(folder / "last.ckpt", files)]
    module.signals.last = kept[1].path
    with quiet():
        trainer = pl.Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=settings.devices,
            strategy="ddp" if settings.devices > 1 else "auto",
            max_epochs=settings.max_epochs,  # steps are limited by the module
            check_val_every_n_epoch=settings.check_val_every_n_epochs,
            num_sanity_val_steps=0,
            limit_val_batches=1.0 if module.data.val is not None else 0,
            callbacks=[*callbacks, *kept, *bars],
            enable_progress_bar=bool(bars),
            enable_model_summary=False,
            inference_mode=False,  # some schemes refine q by its gradient
            logger=list(loggers),
            log_every_n_steps=1,
            default_root_dir=run_dir,
            plugins=[files],
        )
    trainer._signal_connector.register_signal_handlers = lambda: None  # we have our own
    module.signals.steps = lambda: trainer.global_step
    return trainer


def put_best_in(trainer: pl.Trainer, module: TrainingModule) -> str:
    """Load the weights with the best validation bound, if there are any.

    Returns:
        A description of the weights in the module, for metrics.json.

    Raises:
        CheckpointError: The file of the best weights is missing or belongs to another model.
    """
    (best,) = (c for c in trainer.checkpoint_callbacks if isinstance(c, Best))
    if module.scheme.keeps_last:
        return "last"
    if best.is_lost and module.ended_before:
        raise CheckpointError(
            f"{best.path} is missing, or not the one that the run had kept",
            hint="copy the whole run again; init_from=RUN begins a new one with its weights",
        )
    if best.score is None:
        return "last"
    saved = present_checkpoint(read_checkpoint(best.path), module)
    check_weights(saved, module, best.path)
    module.load_state_dict(saved["state_dict"])
    return f"best val/bound, epoch {saved['epoch'] + 1}"
