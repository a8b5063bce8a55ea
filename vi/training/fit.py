"""Train a model: what the command line does, from Python."""

import functools
import json
import math
import signal
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import lightning
import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger

import vi
from vi.bounds.base import Bound
from vi.bounds.elbo import ELBO
from vi.data.base import DataSet, LoadedData
from vi.data.loading import loaded as load_data
from vi.errors import ConfigurationError, Interrupted, NumericsError
from vi.evaluation.base import Evaluation
from vi.evaluation.importance_sampling import ImportanceSampling
from vi.models.base import LatentVariableModel
from vi.networks.products import products_by
from vi.options import Option
from vi.schemes.base import Scheme
from vi.schemes.joint import Joint
from vi.training import schema
from vi.training.allocator import keep_freed_memory
from vi.training.atomic import write_atomically
from vi.training.callbacks.diagnostics import LatentDiagnostics
from vi.training.callbacks.hyperparameters import Hyperparameters
from vi.training.callbacks.ledger import EMLedger
from vi.training.callbacks.pictures import Pictures
from vi.training.callbacks.progress import ProgressBar
from vi.training.compiling import compiled
from vi.training.denormals import denormals_flushed
from vi.training.devices import chosen_device, gpu_known, threads
from vi.training.evaluate import evaluate
from vi.training.guards import check_data
from vi.training.module import TrainingModule
from vi.training.pictures import save_pictures
from vi.training.precision import computing_in
from vi.training.pretrained import save
from vi.training.processes import (
    check_gradients,
    check_processes,
    ending_together,
    is_first,
)
from vi.training.quiet import quiet
from vi.training.registry import describe
from vi.training.report import print_report
from vi.training.settings import TrainerSettings, require_seed
from vi.training.start import rehearse, start
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
    check_processes(settings_, scheme)
    first = is_first(settings_.devices)
    loaded = load_data(data, seed)
    _start_on_the_processor(model, loaded)
    check_data(loaded, model, settings_)
    name = str(loaded.facts.get("data/name", "data"))
    run_dir = Path(run_dir or Path("outputs") / name / f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}")
    parts = {"bound": bound} | ({"data": loaded.option} if loaded.option else {})
    savable = first and _savable({"model": model, **parts}, plugins)
    module = TrainingModule(model, bound, scheme, loaded, settings_, seed)
    with computing_in(settings_.precision, model, torch.device("cpu")):
        rehearsed = rehearse(module)
    if settings_.devices > 1:
        check_gradients(*rehearsed)
    start(module, init_from, ckpt_path)
    chosen = {"model": model, "bound": bound, "scheme": scheme, "trainer": settings_}
    values = {k: _values(v) for k, v in chosen.items()} | {"seed": seed, "data": name}
    callbacks = [LatentDiagnostics(), Pictures(), EMLedger()] if callbacks is None else callbacks
    drawn = any(isinstance(callback, Pictures) for callback in callbacks)
    best, last = _checkpoints(run_dir)
    pl_trainer = _trainer(
        run_dir,
        settings_,
        [*(callbacks if first else _taking_part(callbacks)), Hyperparameters(values), best, last],
        loggers,
        validate=loaded.val is not None,
    )
    device = chosen_device(settings_.device)
    if settings_.keep_memory and device.type == "cpu":
        keep_freed_memory()
    with products_by(settings_.products), ending_together(pl_trainer):
        with (
            threads(settings_.threads, model, settings_.batch_size, settings_.devices),
            computing_in(settings_.precision, model, device),
            compiled(settings_.compile, model, device),
            gpu_known(device),
            denormals_flushed() if settings_.flush_denormals else nullcontext(),
        ):
            facts = _train(pl_trainer, module, best, ckpt_path)
        model = module.inferred
        metrics = {**_measure(module, model, evaluation), **facts, **loaded.facts}
        run_dir = pl_trainer.strategy.broadcast(run_dir)
        pl_trainer.strategy.barrier()
    if not first:
        return FitResult(model, metrics, run_dir)
    if savable:
        save(model, run_dir / "model", facts=metrics, parts=parts, plugins=plugins)
    write_atomically(run_dir / "metrics.json", (json.dumps(metrics, indent=2) + "\n").encode())
    pictures = save_pictures(model, module.data, module.shape, run_dir, seed) if drawn else []
    ledger = run_dir / "ledger.png"
    pictures += [ledger] if ledger.is_file() else []
    if settings_.progress_bar:
        print_report(metrics, run_dir, pictures, saved="data" in parts and savable)
    return FitResult(model, metrics, run_dir)


def _start_on_the_processor(model: LatentVariableModel, data: LoadedData) -> None:
    """Where a run begins; an earlier one left them on its device."""
    model.to("cpu")
    for split in (data.train, data.val, data.test):
        if split is not None:
            split.to("cpu")


def _measure(
    module: TrainingModule, model: LatentVariableModel, evaluation: Evaluation | None
) -> dict[str, float]:
    """The numbers of the weights that are kept: on the test data, and as validation saw them."""
    bound, data = module.bound, module.data
    evaluation = evaluation or ImportanceSampling(num_samples=1000)
    test = evaluate(model, data.test, bound, evaluation, seed=module.seed)
    _require_finite(test)
    val = {}
    if data.val is not None:
        val = evaluate(model, data.val, bound, seed=module.seed, repeats=1)
    train = {k: v for k, v in module.latest.items() if k.startswith(("train/", "spent/"))}
    return (
        {f"test/{k}": v for k, v in test.items()} | {f"val/{k}": v for k, v in val.items()} | train
    )


def _require_finite(numbers: Mapping[str, float]) -> None:
    bad = [f"{name}={value}" for name, value in numbers.items() if not math.isfinite(value)]
    if bad:
        raise NumericsError(
            f"the trained model has no finite numbers on the test data: {', '.join(bad)}",
            hint="lower optimizer.lr, or set scheme.gradient_clip_norm=1",
        )


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
    settings: TrainerSettings,
    callbacks: Sequence[pl.Callback],
    loggers: Sequence[Logger] | None,
    *,
    validate: bool,
) -> pl.Trainer:
    if loggers is None:
        loggers = [TensorBoard(run_dir, name="", version="", default_hp_metric=False)]
        loggers += [CSVLogger(run_dir, name="csv")]
    device = chosen_device(settings.device, settings.devices)
    shown = settings.progress_bar and is_first(settings.devices)
    with quiet():
        return pl.Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=settings.devices,
            strategy="ddp" if settings.devices > 1 else "auto",
            max_epochs=settings.max_epochs,
            max_steps=settings.max_steps or -1,
            check_val_every_n_epoch=settings.check_val_every_n_epochs,
            num_sanity_val_steps=0,
            limit_val_batches=1.0 if validate else 0,
            callbacks=[*callbacks, *([ProgressBar()] if shown else [])],
            enable_progress_bar=shown,
            enable_model_summary=False,
            inference_mode=False,  # some schemes refine q by its gradient
            logger=list(loggers),
            log_every_n_steps=1,
            default_root_dir=run_dir,
        )


def _taking_part(callbacks: Sequence[pl.Callback]) -> list[pl.Callback]:
    """Those that do more than look on and write down what they see."""
    return [c for c in callbacks if not isinstance(c, LatentDiagnostics | Pictures | EMLedger)]


def _checkpoints(run_dir: Path) -> tuple[ModelCheckpoint, ModelCheckpoint]:
    """best.ckpt by the validation bound, and last.ckpt at the end of every epoch."""
    place = {"dirpath": run_dir / "checkpoints", "enable_version_counter": False}
    best = ModelCheckpoint(
        filename="best", monitor="val/bound", mode="max", auto_insert_metric_name=False, **place
    )
    return best, ModelCheckpoint(filename="last", save_on_train_epoch_end=True, **place)


def _train(
    trainer: pl.Trainer,
    module: TrainingModule,
    best_file: ModelCheckpoint,
    ckpt_path: str | Path | None,
) -> dict[str, Any]:
    """Run the trainer, put the best weights in, and tell what happened."""
    started = time.perf_counter()
    module.train()
    try:
        with quiet():
            trainer.fit(module, ckpt_path=ckpt_path, weights_only=True)
    except SystemExit as end:  # what Lightning makes of a signal; of SIGTERM, a success
        raise _stopped(trainer) from end
    seconds = time.perf_counter() - started
    module.to(trainer.strategy.root_device)  # Lightning leaves it on the CPU, away from the data
    best = "" if module.scheme.keeps_last else best_file.best_model_path
    if best:
        saved = torch.load(best, weights_only=True, map_location=module.device)
        module.load_state_dict(saved["state_dict"])
    module.eval()
    return {
        "train/seconds": seconds,
        "train/steps": trainer.global_step,
        "train/epochs": trainer.current_epoch,
        "train/parameters": sum(p.numel() for p in module.model.parameters()),
        "weights": f"best val/bound, epoch {saved['epoch'] + 1}" if best else "last",
        "seed": module.seed,
        "device": str(trainer.strategy.root_device),
        "devices": trainer.world_size,
        "threads": torch.get_num_threads(),
        "versions/vi": vi.__version__,
        "versions/torch": torch.__version__,
        "versions/lightning": lightning.__version__,
    }


def _stopped(trainer: pl.Trainer) -> Interrupted:
    received = signal.SIGTERM if trainer.received_sigterm else signal.SIGINT
    last = Path(trainer.default_root_dir) / "checkpoints" / "last.ckpt"
    return Interrupted(
        f"stopped by {received.name} after step {trainer.global_step}",
        hint=f"ckpt_path={last} goes on from the end of the latest epoch"
        if last.is_file()
        else "no epoch was finished; start again",
        exit_code=128 + received,
    )


def _values(part: Any) -> dict[str, Any]:
    """The arguments of a part and of the parts within it, with the name of its class."""
    if isinstance(part, functools.partial):  # an optimiser or a schedule
        return {"class": part.func.__name__, **part.keywords}
    values = {
        k: _values(v) if isinstance(v, Option | functools.partial) else v
        for k, v in part.arguments.items()
    }
    return {"class": type(part).__name__, **values}
