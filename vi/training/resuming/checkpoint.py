"""The state of a run in a checkpoint, beside weights, optimisers and callbacks.

The position in a run is the number of optimiser steps. Lightning's own counters are not read,
since they count calls.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.fabric.utilities import move_data_to_device

from vi.errors import ConfigurationError
from vi.evaluations import Evaluations
from vi.training.resuming.ended import CONVERGENCE, limits, reasons, still
from vi.training.resuming.named_files import key_of, of_lightning, plain_names, rooted

if TYPE_CHECKING:
    import lightning.pytorch as pl

    from vi.training.module import TrainingModule


def gather(module: "TrainingModule", checkpoint: dict[str, Any]) -> None:
    """Add scheme, account of evaluations and arithmetic of a run to its checkpoint."""
    for logger in module.loggers:
        logger.save()  # every curve on disk reaches the checkpoint
    evaluations = module.processes.total(vars(module.book.evaluations))
    checkpoint["scheme"] = module.scheme.state_dict()
    checkpoint["spent"] = {"seconds": module.book.seconds(), **evaluations}
    state = module.session.state(module.device, module.processes.world)
    checkpoint |= state | {"products": module.processes.each(state["products"])}
    checkpoint["run"] = {
        "seed": module.seed,
        "facts": dict(module.data.facts),
        "ended": reasons(module),
        "limits": limits(module),
        "converged": module.scheme.converged,
        "open": module.is_open(),
        "latest": dict(module.book.latest),
        "means": {name: list(rows) for name, rows in module.book.train_means.columns.items()},
    }
    states = checkpoint.get("callbacks", {})
    for callback in of_lightning(module.trainer):
        if key_of(callback) in states:
            states[key_of(callback)] = plain_names(states[key_of(callback)])


def restore(module: "TrainingModule", checkpoint: dict[str, Any]) -> None:
    """Continue from the state in a checkpoint."""
    trainer, run = module.trainer, checkpoint.get("run", {})
    module.scheme.load_state_dict(move_data_to_device(checkpoint["scheme"], module.device))
    spent = dict(checkpoint["spent"])
    module.book.seconds_before = spent.pop("seconds")
    module.book.evaluations = Evaluations(**spent) if module.processes.rank == 0 else Evaluations()
    world, rank = module.processes.world, module.processes.rank
    module.session.follow(checkpoint, module.device, world, rank)
    module.book.latest = dict(run.get("latest", {}))
    module.book.train_means.columns = move_data_to_device(
        {name: list(rows) for name, rows in run.get("means", {}).items()}, module.device
    )
    step = checkpoint["global_step"]
    module.closed = -1 if run.get("open", False) else step
    _count(module, step)
    ended = still(run.get("ended", []), run.get("limits", {}), limits(module))
    module.scheme.converged = run.get("converged", False) and (
        CONVERGENCE in ended or not run.get("ended")
    )
    reached = [] if module.closed != step else reasons(module)
    module.ended_before = list(dict.fromkeys([*ended, *reached]))
    trainer.should_stop = bool(module.ended_before)
    _restore_callbacks(trainer, checkpoint["callbacks"])
    checkpoint["loops"] = None  # Lightning's counters, see above


def _restore_callbacks(trainer: "pl.Trainer", states: dict[str, Any]) -> None:
    """Keep the states of callbacks that are here, with paths below their present folders."""
    states.setdefault("Best", _best_of_older_version(states))
    for callback in of_lightning(trainer):
        if key_of(callback) in states:
            folder = str(callback.dirpath)
            states[key_of(callback)] = rooted(states[key_of(callback)], folder)
    known = {key_of(callback) for callback in trainer.callbacks}  # pyright: ignore
    for name in states.keys() - known:
        del states[name]


def _best_of_older_version(states: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of ``Best`` from that of Lightning's callback, which was used before."""
    for name, state in states.items():
        ours = name.startswith("ModelCheckpoint") and state.get("monitor") == "val/bound"
        score = state.get("best_model_score")
        if ours and score is not None and Path(state["best_model_path"]).name == "best.ckpt":
            return {"score": float(score), "step": None}
    return {"score": None, "step": 0}


def _count(module: "TrainingModule", step: int) -> None:
    """Set Lightning's counters to the position of the run."""
    loop = module.trainer.fit_loop
    steps: Any = loop.epoch_loop.manual_optimization.optim_step_progress
    for tracker in (steps.total, steps.current):
        tracker.ready = tracker.completed = step
    epochs, rest = divmod(step, module.steps_per_epoch())
    epochs -= rest == 0 and module.closed != step
    progress: Any = loop.epoch_progress
    for tracker in (progress.total, progress.current):
        tracker.ready = tracker.started = tracker.processed = tracker.completed = max(epochs, 0)


def require_same_seed(run: dict[str, Any], seed: int) -> None:
    """Refuse a seed that differs from that of the checkpoint.

    Raises:
        ConfigurationError: The seeds differ.
    """
    known = run.get("seed", seed)
    if known != seed:
        raise ConfigurationError(
            f"the run was trained with seed={known}, not seed={seed}",
            hint=f"seed={known}; another seed is another run (init_from=RUN takes its weights)",
        )
