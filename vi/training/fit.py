"""Training from Python, with the same steps as the command line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers import Logger

from vi.bounds.base import Bound
from vi.bounds.elbo import ELBO
from vi.config import schema
from vi.config.conversion import is_savable
from vi.config.registry import require_plugins
from vi.data.base import DataSet, LoadedData
from vi.data.loading import loaded as load_data
from vi.errors import ConfigurationError
from vi.evaluation.base import Evaluation
from vi.files.lock import locked
from vi.files.model_files import save
from vi.models.base import LatentVariableModel
from vi.options import Configurable
from vi.schemes.base import Scheme
from vi.schemes.joint import Joint
from vi.training.board import show_results
from vi.training.callbacks.diagnostics import LatentDiagnostics
from vi.training.callbacks.gaps import GapCurves
from vi.training.callbacks.hyperparameters import Hyperparameters
from vi.training.callbacks.ledger import EMLedger
from vi.training.callbacks.pictures import Pictures
from vi.training.checks.data import check_data
from vi.training.closing import is_complete, known_numbers, measure, of_training
from vi.training.devices import chosen_device
from vi.training.initial_weights import dry_run, start
from vi.training.lightning_trainer import lightning_trainer, put_best_in
from vi.training.module import TrainingModule
from vi.training.processes import (
    check_gradients,
    check_processes,
    ending_together,
    is_first,
    speaking_alone,
)
from vi.training.quiet import quiet
from vi.training.results.result import FitResult, facts_of, show, values_of, write_metrics
from vi.training.resuming.checkpoint_schema import check_callbacks
from vi.training.resuming.prepare import prepare as prepare_folder
from vi.training.resuming.prepare import read_run
from vi.training.settings import TrainerSettings, require_seed
from vi.training.signals import noting_signals
from vi.training.steps import trial

__all__ = ["fit"]


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

    With several ``devices`` the calling script runs once for each of them, and this function
    returns in all of these processes; the first process writes the files.

    Args:
        model: Trained in place; afterwards in evaluation mode with the best weights.
        data: A data set, loaded or not.
        bound: The objective; the ELBO if not given.
        scheme: Which parameters are updated, and when; joint Adam if not given.
        epochs: Passes over the training data; the trainer's ``max_epochs`` if not given.
        seed: Seed of the order of the data and of every draw.
        run_dir: Folder of the results; ``outputs/<data>/<time>`` if not given.
        trainer: Settings; alternatively, give them one by one as ``**settings``.
        evaluation: Measurement beside the bound; log p(x) with 1000 samples if not given.
        callbacks: Further callbacks; latent diagnostics, pictures and E/M ledger if not given.
        loggers: TensorBoard and CSV if not given.
        ckpt_path: A ``last.ckpt`` from which to resume.
        init_from: A run or model directory with the initial weights.
        plugins: Packages beside vi that provide options of the parts.
        **settings: ``batch_size``, ``device``, ... of ``TrainerSettings``.

    Returns:
        The model, the flat metrics of ``metrics.json``, and the run directory.

    Raises:
        DataError: The model cannot be trained on the data.
        ConfigurationError: Options do not fit together.
        CheckpointError: A file to start from is missing, damaged or of another model.
        NumericsError: The loss became NaN or infinite.
        Interrupted: A signal stopped the process.
    """
    bound, scheme = bound or ELBO(), scheme or Joint()
    settings_ = _settings(trainer, epochs, settings)
    require_seed(seed)
    require_plugins(plugins)
    check_processes(settings_, scheme)
    _require_one_start(ckpt_path, init_from)
    with noting_signals() as signals:
        run = _prepare(model, load_data(data, seed), bound, scheme, settings_, seed, run_dir)
        run = replace(run, plugins=plugins, ckpt_path=ckpt_path and Path(ckpt_path))
        run.module.signals, signals.plugins = signals, plugins
        with run.module.session:
            run = _check(run)
            if run.resumed is None:
                start(run.module, init_from)
            seen = _watching(callbacks, run)
            with locked(run.folder, first=run.is_first), speaking_alone(settings_.devices):
                one = _trainer(run, seen, loggers)
                with ending_together(one):
                    run, facts = _train(run, one)
                    metrics = _measure(run, one, facts, evaluation)
                _write(run, one, metrics, drawn=any(isinstance(c, Pictures) for c in seen))
                return FitResult(run.module.inferred, metrics, run.folder)


@dataclass(frozen=True)
class _Run:
    """The state that the steps of ``fit`` pass on."""

    module: TrainingModule
    folder: Path
    parts: Mapping[str, Configurable]  # saved beside the model
    is_first: bool  # whether this process writes the files
    plugins: Sequence[str] = ()
    ckpt_path: Path | None = None
    resumed: dict[str, Any] | None = None
    is_savable: bool = False
    known: Mapping[str, Any] = field(default_factory=dict)  # numbers of the resumed run
    is_complete: bool = False  # whether everything has been measured and saved already

    def save(self, facts: Mapping[str, Any]) -> None:
        """Write model/, if the parts can be saved and it is not there yet."""
        if self.is_savable and not self.is_complete:
            folder, options = self.folder / "model", {"plugins": self.plugins}
            save(self.module.inferred, folder, parts=self.parts, facts=facts, **options)


def _prepare(
    model: LatentVariableModel,
    loaded: LoadedData,
    bound: Bound,
    scheme: Scheme,
    settings: TrainerSettings,
    seed: int,
    run_dir: str | Path | None,
) -> _Run:
    """Move data and model to the CPU, check them, and choose the folder of the results."""
    if settings.limit_data is not None:
        loaded = loaded.limited(settings.limit_data)
    _start_on_the_processor(model, loaded)
    check_data(loaded, model, settings)
    name = str(loaded.facts.get("data/name", "data"))
    time = f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}"
    parts = {"bound": bound} | ({"data": loaded.option} if loaded.option else {})
    module = TrainingModule(model, bound, scheme, loaded, settings, seed)
    folder = Path(run_dir or Path("outputs") / name / time)
    return _Run(module, folder, parts, is_first(settings.devices))


def _check(run: _Run) -> _Run:
    """Check before training what could fail later: first step, checkpoint, saved model."""
    module = run.module
    savable = run.is_first and is_savable({"model": module.model, **run.parts}, run.plugins)
    copies = dry_run(module)
    if module.settings.devices > 1:
        check_gradients(copies.model, copies.bound)
    resumed = None if run.ckpt_path is None else read_run(run.ckpt_path, module)
    return replace(run, is_savable=savable, resumed=resumed)


def _watching(callbacks: Sequence[pl.Callback] | None, run: _Run) -> list[pl.Callback]:
    """Return the callbacks of this process; those that only observe run in the first one."""
    module = run.module
    parts = {
        "model": module.model,
        "bound": module.bound,
        "scheme": module.scheme,
        "trainer": module.settings,
    }
    name = str(module.data.facts.get("data/name", "data"))
    values = {k: values_of(part) for k, part in parts.items()}
    if callbacks is None:
        callbacks = [LatentDiagnostics(), Pictures(), EMLedger()]
    looking = () if run.is_first else (LatentDiagnostics, Pictures, EMLedger, GapCurves)
    taking_part = [c for c in callbacks if not isinstance(c, looking)]
    return [*taking_part, Hyperparameters(values | {"seed": module.seed, "data": name})]


def _trainer(
    run: _Run, callbacks: Sequence[pl.Callback], loggers: Sequence[Logger] | None
) -> pl.Trainer:
    module, resumed = run.module, run.resumed
    trainer = lightning_trainer(run.folder, module, callbacks, loggers, resumed, run.ckpt_path)
    if resumed is not None:
        check_callbacks(resumed, trainer, Path(str(run.ckpt_path)))
    if run.is_first:
        prepare_folder(run.folder, module, trainer.loggers, resumed)
    return trainer


def _train(run: _Run, trainer: pl.Trainer) -> tuple[_Run, dict[str, Any]]:
    """Train, load the best weights, and return the facts of the run."""
    module, settings = run.module, run.module.settings
    device = chosen_device(settings.device)
    module.train()
    with (
        module.session.training(
            device,
            lambda: trial(module, settings.batch_size),
            f"{type(module.bound).__name__} {type(module.scheme).__name__}",
            choose=run.ckpt_path is None and run.is_first,
        ),
        quiet(),
        module.signals.awaited(),
    ):
        trainer.fit(module, ckpt_path=run.ckpt_path, weights_only=True)
    if module.signals.received:
        raise module.signals.stopped()
    module.to(trainer.strategy.root_device)  # Lightning leaves it on the CPU, away from the data
    facts = facts_of(trainer, module) | {"weights": put_best_in(trainer, module)}
    module.eval()
    folder = trainer.strategy.broadcast(run.folder)
    known = known_numbers(folder, module)
    complete = run.is_first and is_complete(known, folder / "model")
    run = replace(run, folder=folder, known=known, is_complete=complete)
    facts |= module.data.facts
    run.save(of_training(module) | facts)
    return run, facts


def _measure(
    run: _Run, trainer: pl.Trainer, facts: Mapping[str, Any], evaluation: Evaluation | None
) -> dict[str, Any]:
    """Return the numbers of the weights that are kept, and everything else of metrics.json."""
    measured = measure(run.module, evaluation, run.known)
    trainer.strategy.barrier()
    return {**measured, **of_training(run.module), **facts, **run.known}


def _write(run: _Run, trainer: pl.Trainer, metrics: dict[str, Any], *, drawn: bool) -> None:
    """Write the model, metrics.json, TensorBoard's results and pictures; print the table."""
    if not run.is_first:
        return
    if not run.is_complete:
        run.save(metrics)
        write_metrics(metrics, run.folder)
    show_results(trainer, run.module, metrics, drawn=drawn)
    saved = "data" in run.parts and run.is_savable
    show(run.module, metrics, run.folder, run.plugins, drawn=drawn, saved=saved)


def _require_one_start(ckpt_path: object, init_from: object) -> None:
    if init_from is not None and ckpt_path is not None:
        raise ConfigurationError(
            "init_from has no effect beside ckpt_path, which contains weights",
            hint="give one of both",
        )


def _start_on_the_processor(model: LatentVariableModel, data: LoadedData) -> None:
    """Move both to the CPU, where a run begins; an earlier run leaves them on its device."""
    model.to("cpu")
    for split in (data.train, data.val, data.test):
        if split is not None:
            split.to("cpu")


def _settings(
    trainer: TrainerSettings | None, epochs: int | None, settings: dict[str, Any]
) -> TrainerSettings:
    chosen = {**(trainer.arguments if trainer else {}), **settings}
    if epochs is not None:
        chosen["max_epochs"] = epochs
    schema.validate(TrainerSettings, chosen, "trainer")
    return TrainerSettings(**chosen)
