"""Train a model and measure it."""

import contextlib
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra._internal.hydra import Hydra
from hydra._internal.utils import _run_hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobStatus, run_job
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf

from vi.cli import interrupts, job_files
from vi.cli.composing import run_options
from vi.cli.composing.compose import checked, configuration, hydra_here, value_of, values
from vi.cli.composing.flags import flags_of, parser
from vi.cli.composing.run_options import continued, relative
from vi.cli.composing.typed_names import with_groups
from vi.cli.reporting import reporting
from vi.config.registry import config_dir
from vi.config.run import Run
from vi.errors import CheckpointError, ConfigurationError
from vi.files.lock import locked, require_free
from vi.files.places import require_checkpoint
from vi.startup import startup
from vi.training.rank import is_alone_or_first


def main(arguments: Sequence[str] | None = None) -> None:
    """Check the whole command line, then create the run directories and run the jobs."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    with reporting():
        flags = flags_of(arguments)
        if not (flags.help or flags.hydra_help or flags.shell_completion):
            with hydra_here() as hydra:
                shown = _train(hydra, flags)
            if not shown:
                return
        _run_hydra(flags, parser(), _job, str(config_dir().resolve()), "train")


def _train(hydra: Hydra, flags: Namespace) -> bool:
    """Run the jobs of the command line.

    For ``--cfg`` and ``--info`` only the configuration is checked, and Hydra shows it.

    Returns:
        Whether Hydra is to show something.
    """
    several = flags.multirun or value_of(flags.overrides, "hydra.mode") == "MULTIRUN"
    overrides = _with_options_of_the_run(flags.overrides, several=several)
    if flags.cfg or flags.info:
        config = configuration("train", overrides)
        _require_package(config, flags.package)
        flags.overrides = [*config.hydra.overrides.hydra, *config.hydra.overrides.task]
        return True
    if several:
        from vi.cli.composing.sweeps import sweep

        sys.exit(sweep(hydra, overrides, Run, _line))
    with startup.of_one_run():
        _run(hydra, overrides)
    return False


def _require_package(config: DictConfig, package: str | None) -> None:
    """Refuse a ``--package`` that the configuration does not contain."""
    if package is not None and OmegaConf.select(config, package) is None:
        raise ConfigurationError(
            f"there is no {package} in the configuration", hint="--package=model shows the model"
        )


def _run(hydra: Hydra, overrides: Sequence[str]) -> None:
    """Run one job in its run directory; the configuration is composed only once."""
    run_dir = value_of(overrides, "hydra.run.dir")
    if run_dir is not None and os.environ.get("LOCAL_RANK", "0") == "0":
        require_free(Path(run_dir))  # before torch is imported
    with startup.part("configuration"):
        config = configuration("train", overrides)
        checked(config, overrides, Run)
    config.hydra.mode = RunMode.RUN
    callbacks = Callbacks(config)
    callbacks.on_run_start(config=config, config_name="train")
    context = HydraContext(config_loader=hydra.config_loader, callbacks=callbacks)
    job = partial(_reported, folder=job_files.withheld(config))
    done = run_job(job, config, "hydra.run.dir", None, context)
    callbacks.on_run_end(config=config, config_name="train", job_return=done)
    if done.status is JobStatus.FAILED:
        raise done._return_value  # the property ``return_value`` would print another line


def _with_options_of_the_run(typed: Sequence[str], *, several: bool) -> list[str]:
    """Add the options and the directory of a resumed run (``ckpt_path``) to those that are typed.

    Raises:
        ConfigurationError: A sweep or ``init_from`` is given as well.
    """
    ckpt_path = value_of(typed, "ckpt_path")
    if ckpt_path is None:
        return list(typed)
    if several:
        raise ConfigurationError(
            "a run is resumed in its own directory, not in those of a sweep",
            hint="leave --multirun out, or start from its weights: init_from=RUN",
        )
    if value_of(typed, "init_from") is not None:
        raise ConfigurationError(
            "init_from and ckpt_path exclude each other",
            hint="ckpt_path resumes a run; init_from begins a run with the weights of another",
        )
    return continued(with_groups(typed), _run_of(ckpt_path))


def _run_of(ckpt_path: str) -> Path:
    """Return the run directory of a checkpoint.

    Raises:
        CheckpointError: The checkpoint is missing, or not in ``checkpoints/`` of a run.
    """
    checkpoint = Path(ckpt_path).resolve()
    require_checkpoint(ckpt_path)
    run_dir = checkpoint.parent.parent
    if not any((run_dir / name).exists() for name in (run_options.FILE, ".hydra")):
        raise CheckpointError(
            f"{ckpt_path} is not in the checkpoints/ of a run, so its options are unknown",
            hint="give RUN/checkpoints/last.ckpt, or resume from Python: vi.fit(ckpt_path=...)",
        )
    return run_dir


def _reported(config: DictConfig, folder: str | None) -> None:
    """Run a job, with errors printed as two lines."""
    with reporting():
        _job(config, folder)


def _line(config: DictConfig, folder: str | None) -> str:
    """Run a job of a sweep, and return its result for the table."""
    metrics = _job(config, folder)
    return f"test/bound {metrics['test/bound']:.3f}" if "test/bound" in metrics else ""


def _job(config: DictConfig, folder: str | None = None) -> Mapping[str, Any]:
    """Run one job in its locked directory, and return its metrics.

    A directory in which nothing was written is removed again if the job fails.
    """
    hydra = HydraConfig.get()
    run_dir = Path(hydra.runtime.output_dir)
    held = contextlib.ExitStack()

    def undo() -> None:
        held.close()
        _remove_if_nothing_was_made(run_dir)

    interrupts.before_the_start(undo)

    def keep_options() -> None:
        run_options.write(run_dir, hydra.overrides.task, list(hydra.searchpath or []))
        job_files.write(run_dir, folder, config)

    try:
        with held:
            run = Run(**values(config, Run))
            first = is_alone_or_first(run.trainer.get("devices", 1))
            held.enter_context(locked(run_dir, first=first))
            metrics = train(run, relative(run_dir), keep_options)
            interrupts.begun()  # also for a run that had ended before, and takes no step
            return metrics
    except Exception:
        _remove_if_nothing_was_made(run_dir)
        raise


def _remove_if_nothing_was_made(run_dir: Path) -> None:
    """Remove the folders that Hydra made for a run that did not begin, if they are empty."""
    with contextlib.suppress(OSError):  # not empty
        for folder in (run_dir, *run_dir.parents):
            if folder == Path.cwd() or (folder != run_dir and not _inside(folder)):
                break
            folder.rmdir()


def _inside(folder: Path) -> bool:
    """Return whether a folder is in the current one."""
    return folder.is_relative_to(Path.cwd())


def train(
    run: Run, run_dir: Path | None = None, begin: Callable[[], None] = lambda: None
) -> Mapping[str, Any]:
    """Build the parts of a composed configuration, and train.

    Args:
        run: Composed and checked configuration.
        run_dir: Folder for results.
        begin: Function that is called before the first step.

    Returns:
        The metrics of the run.
    """
    with startup.part("imports"):
        import torch

        from vi.cli.beginning import Beginning
        from vi.config.build import build
        from vi.data.base import DataSet
        from vi.training.fit import fit
        from vi.training.settings import require_seed

    require_seed(run.seed)
    dataset: DataSet = build("data", run.data, plugins=run.plugins)
    with startup.part("data"):
        loaded = replace(dataset.load(run.seed), option=dataset)
    facts = {"data_shape": loaded.shape, "context_dim": loaded.context_dim, "save_dir": run_dir}

    def part(group: str, node: dict[str, Any]) -> Any:
        return build(group, node, defaults={**run.parts(), **facts}, plugins=run.plugins)

    torch.manual_seed(run.seed)
    result = fit(
        part("model", run.model),
        loaded,
        part("bound", run.bound),
        part("scheme", run.scheme),
        seed=run.seed,
        run_dir=run_dir,
        trainer=part("trainer", run.trainer),
        evaluation=part("evaluation", run.evaluation),
        callbacks=[
            *(part("callbacks", node) for node in (run.callbacks or {}).values()),
            Beginning(begin),
        ],
        loggers=[part("logger", node) for node in (run.logger or {}).values()],
        ckpt_path=run.ckpt_path,
        init_from=run.init_from,
        plugins=run.plugins,
    )
    return result.metrics
