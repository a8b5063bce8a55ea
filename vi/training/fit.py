"""Train a model: what the command line does, from Python."""

import functools
import json
import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import Logger

import vi
from vi.bounds.base import Bound
from vi.bounds.elbo import ELBO
from vi.data.base import DataSet, LoadedData
from vi.data.loading import loaded as load_data
from vi.errors import CheckpointError, ConfigurationError
from vi.evaluation.base import Evaluation
from vi.fast.compile import compiled
from vi.fast.denormals import denormals_flushed
from vi.fast.devices import chosen_device, gpu_known, threads
from vi.fast.linear import products_by
from vi.fast.memory import keep_freed_memory
from vi.fast.precision import computing_in
from vi.fast.rounding import rounding
from vi.models.base import LatentVariableModel
from vi.options import Option
from vi.schemes.base import Scheme
from vi.schemes.joint import Joint
from vi.training import schema
from vi.training.atomic import write_atomically
from vi.training.callbacks.checkpoints import Best, Last
from vi.training.callbacks.diagnostics import LatentDiagnostics
from vi.training.callbacks.hyperparameters import Hyperparameters
from vi.training.callbacks.ledger import EMLedger
from vi.training.callbacks.pictures import Pictures
from vi.training.callbacks.progress import ProgressBar
from vi.training.checkpoint_file import CheckpointFiles, read_checkpoint
from vi.training.checkpoint_schema import check_callbacks, check_weights
from vi.training.closing import is_complete, known_numbers, measure, of_training
from vi.training.csv_curves import CSVCurves
from vi.training.describe import describe
from vi.training.guards import check_data
from vi.training.lock import locked
from vi.training.module import TrainingModule
from vi.training.older import present_checkpoint
from vi.training.pictures import save_pictures
from vi.training.pretrained import finite, save
from vi.training.processes import (
    check_gradients,
    check_processes,
    ending_together,
    is_first,
    speaking_alone,
)
from vi.training.quiet import quiet
from vi.training.registry import require_plugins
from vi.training.report import print_report
from vi.training.resume import prepare, read_run
from vi.training.settings import TrainerSettings, require_seed
from vi.training.signals import noting_signals
from vi.training.start import rehearse, start
from vi.training.startup import startup
from vi.training.tensorboard import TensorBoard


@dataclass(frozen=True)
class FitResult:
    """A trained model, what was measured of it, and where everything lies."""

    model: LatentVariableModel
    metrics: dict[str, Any]
    run_dir: Path


def fit(
    model: LatentVariableModel,
    data: DataSet | LoadedData,
    bound: Bound | None = None,
    scheme: Scheme | None = None,
    epochs: int | None = None,
    *,
    seed: int = 0,
    run_dir: str | Path | None = None,
    trainer: TrainerSettings | None = None,
    evaluation: Evaluation | None = None,
    callbacks: Sequence[pl.Callback] | None = None,
    loggers: Sequence[Logger] | None = None,
    ckpt_path: str | Path | None = None,
    init_from: str | Path | None = None,
    plugins: Sequence[str] = (),
    **settings: Any,
) -> FitResult:
    """Train, choose the best weights by the validation bound, measure, and save everything.

    With several ``devices`` the script that calls this runs once for each of them, and this
    returns in all of these processes; the first writes the files.

    Args:
        model: Trained in place; it comes back in evaluation mode with the best weights.
        data: A data set, loaded or not.
        bound: What to climb; the ELBO if not given.
        scheme: Which parameters step when; joint Adam if not given.
        epochs: Passes over the training data; the trainer's ``max_epochs`` if not given.
        seed: Of the order of the data and of every draw.
        run_dir: Where results go; ``outputs/<data>/<time>`` if not given.
        trainer: Settings; or give them one by one as ``**settings``.
        evaluation: What to measure beside the bound; log p(x) with 1 000 samples if not given.
        callbacks: Beside the progress bar and the checkpoints; latent diagnostics, pictures and
            the E/M ledger if not given.
        loggers: TensorBoard and CSV if not given.
        ckpt_path: A ``last.ckpt`` to go on from.
        init_from: A run or model directory whose weights are the start.
        plugins: Packages beside vi whose options the parts are.
        **settings: ``batch_size``, ``device``, ... of ``TrainerSettings``.

    Returns:
        The model, the flat metrics of ``metrics.json``, and the run directory.

    Raises:
        DataError: Data that cannot be trained on.
        ConfigurationError: Options that do not fit together.
        CheckpointError: A file to start from that is missing, damaged or of another model.
        NumericsError: The loss became NaN or infinite.
        Interrupted: The process was told to stop.
    """
    bound, scheme = bound or ELBO(), scheme or Joint()
    settings_ = _settings(trainer, epochs, settings)
    require_seed(seed)
    require_plugins(plugins)
    check_processes(settings_, scheme)
    _require_one_start(ckpt_path, init_from)
    with noting_signals() as signals:
        loaded = load_data(data, seed)
        _start_on_the_processor(model, loaded)
        check_data(loaded, model, settings_)
        name = str(loaded.facts.get("data/name", "data"))
        time_ = f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}"
        run_dir = Path(run_dir or Path("outputs") / name / time_)
        parts = {"bound": bound} | ({"data": loaded.option} if loaded.option else {})
        first = is_first(settings_.devices)
        savable = first and _savable({"model": model, **parts}, plugins)
        module = TrainingModule(model, bound, scheme, loaded, settings_, seed)
        loaded = module.data  # what was cast for the model need not be kept
        module.signals = signals
        _rehearse(module)
        resumed = None if ckpt_path is None else read_run(Path(ckpt_path), module)
        if resumed is None:
            start(module, init_from)
        chosen = {"model": model, "bound": bound, "scheme": scheme, "trainer": settings_}
        values = {k: _values(v) for k, v in chosen.items()} | {"seed": seed, "data": name}
        if callbacks is None:
            callbacks = [LatentDiagnostics(), Pictures(), EMLedger()]
        seen = [*(callbacks if first else _taking_part(callbacks)), Hyperparameters(values)]
        with locked(run_dir, first=first), speaking_alone(settings_.devices):
            one = _trainer(run_dir, module, seen, loggers, resumed, ckpt_path)
            if resumed is not None:
                check_callbacks(resumed, one, Path(str(ckpt_path)))
            if first:
                prepare(run_dir, module, one.loggers, resumed)
            with products_by(settings_.products), ending_together(one):
                facts = _train(one, module, ckpt_path) | loaded.facts
                run_dir = one.strategy.broadcast(run_dir)
                known = known_numbers(run_dir, module)
                complete = first and is_complete(known, run_dir / "model")
                save_ = partial(save, module.inferred, run_dir / "model", parts=parts)
                if savable and not complete:
                    save_(facts=of_training(module) | facts, plugins=plugins)
                measured = measure(module, evaluation, known)
                metrics = {**measured, **of_training(module), **facts, **known}
                one.strategy.barrier()
            if first and not complete:
                if savable:
                    save_(facts=metrics, plugins=plugins)
                text = json.dumps(finite(metrics), indent=2) + "\n"
                write_atomically(run_dir / "metrics.json", text.encode())
            if first:
                drawn = any(isinstance(callback, Pictures) for callback in callbacks)
                _show(module, metrics, run_dir, drawn=drawn, saved="data" in parts and savable)
            return FitResult(module.inferred, metrics, run_dir)


def _require_one_start(ckpt_path: object, init_from: object) -> None:
    if init_from is not None and ckpt_path is not None:
        raise ConfigurationError(
            "init_from has no effect beside ckpt_path, which has weights of its own",
            hint="give one of both",
        )


def _start_on_the_processor(model: LatentVariableModel, data: LoadedData) -> None:
    """Where a run begins; an earlier one left them on its device."""
    model.to("cpu")
    for split in (data.train, data.val, data.test):
        if split is not None:
            split.to("cpu")


def _rehearse(module: TrainingModule) -> None:
    settings = module.settings
    here = torch.device("cpu")
    with products_by("torch"), computing_in(settings.precision, module.model, here):
        rehearsed = rehearse(module)
    if settings.devices > 1:
        check_gradients(*rehearsed)


def _show(
    module: TrainingModule, metrics: dict[str, Any], run_dir: Path, *, drawn: bool, saved: bool
) -> None:
    """Pictures, and the closing table."""
    model, data, shape, seed = module.inferred, module.data, module.shape, module.seed
    pictures = save_pictures(model, data, shape, run_dir, seed) if drawn else []
    ledger = run_dir / "ledger.png"
    pictures += [ledger] if ledger.is_file() else []
    if module.settings.progress_bar:
        if module.ended_before:
            print(f"nothing to train: the run had ended by {', '.join(module.ended_before)}")
        print_report(metrics, run_dir, pictures, saved=saved)


def _settings(
    trainer: TrainerSettings | None, epochs: int | None, settings: dict[str, Any]
) -> TrainerSettings:
    chosen = {**(trainer.arguments if trainer else {}), **settings}
    if epochs is not None:
        chosen["max_epochs"] = epochs
    schema.validate(TrainerSettings, chosen, "trainer")
    return TrainerSettings(**chosen)


def _savable(parts: Mapping[str, Any], plugins: Sequence[str]) -> bool:
    """Whether every part has a name; if not, say so before the work and not after it."""
    try:
        for group, part in parts.items():
            describe(group, part, plugins)
    except ConfigurationError as error:
        warnings.warn(f"model/ will not be written: {error} ({error.hint})", stacklevel=3)
        return False
    return True


def _trainer(
    run_dir: Path,
    module: TrainingModule,
    callbacks: Sequence[pl.Callback],
    loggers: Sequence[Logger] | None,
    resumed: dict[str, Any] | None,
    ckpt_path: str | Path | None,
) -> pl.Trainer:
    settings = module.settings
    if loggers is None:
        loggers = [TensorBoard(run_dir, name="", version="", default_hp_metric=False)]
        loggers += [CSVCurves(run_dir)]
    device = chosen_device(settings.device, settings.devices)
    shown = settings.progress_bar and is_first(settings.devices)
    files, folder = CheckpointFiles(resumed), run_dir / "checkpoints"
    other = None if ckpt_path is None else Path(ckpt_path).with_name("best.ckpt")
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
            callbacks=[*callbacks, *kept, *([ProgressBar()] if shown else [])],
            enable_progress_bar=shown,
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


def _taking_part(callbacks: Sequence[pl.Callback]) -> list[pl.Callback]:
    """Those that do more than look on and write down what they see."""
    return [c for c in callbacks if not isinstance(c, LatentDiagnostics | Pictures | EMLedger)]


def _train(
    trainer: pl.Trainer, module: TrainingModule, ckpt_path: str | Path | None
) -> dict[str, Any]:
    """Run the trainer, put the best weights in, and tell what happened."""
    settings, model = module.settings, module.model
    device = chosen_device(settings.device)
    fresh = ckpt_path is None and is_first(settings.devices)
    if settings.keep_memory and device.type == "cpu":
        keep_freed_memory()
    module.train()
    with (
        threads(settings.threads, model, settings.batch_size, settings.devices),
        denormals_flushed() if settings.flush_denormals else nullcontext(),
        rounding(module, device, choose=fresh) as rounded,
        compiled(settings.compile, model, device),
        gpu_known(device),
        quiet(),
        module.signals.awaited(),
    ):
        trainer.fit(module, ckpt_path=ckpt_path, weights_only=True)
        computed_with = torch.get_num_threads()
    if module.signals.received:
        raise module.signals.stopped()
    module.to(trainer.strategy.root_device)  # Lightning leaves it on the CPU, away from the data
    weights = _put_best_in(trainer, module)
    module.eval()
    return {
        "train/seconds": module.seconds(),
        "train/steps": trainer.global_step,
        "train/epochs": -(-trainer.global_step // module.steps_per_epoch()),
        "train/parameters": sum(p.numel() for p in model.parameters()),
        "weights": weights,
        "seed": module.seed,
        "device": str(trainer.strategy.root_device),
        "devices": trainer.world_size,
        "threads": computed_with,
        "versions/vi": vi.__version__,
        "versions/torch": torch.__version__,
        "versions/lightning": lightning.__version__,
        **rounded,
        **module.arithmetic.facts(),
        **startup.facts(),
    }


def _put_best_in(trainer: pl.Trainer, module: TrainingModule) -> str:
    """The weights of the best validation, where there are such; tells which they are."""
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


def _values(part: Any) -> dict[str, Any]:
    """The arguments of a part and of the parts within it, with the name of its class."""
    if isinstance(part, functools.partial):  # an optimiser or a schedule
        return {"class": part.func.__name__, **part.keywords}
    values = {
        k: _values(v) if isinstance(v, Option | functools.partial) else v
        for k, v in part.arguments.items()
    }
    return {"class": type(part).__name__, **values}
