"""Sweeps: all jobs are checked before the first one, and run even if others fail."""

import os
import signal
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from math import ceil, prod
from pathlib import Path
from typing import Any, NamedTuple

from hydra._internal.callbacks import Callbacks
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, filter_overrides
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, open_dict

from vi.cli import job_files
from vi.cli.composing.compose import checked, configuration, hydra_here, own_options
from vi.cli.composing.explain import explained
from vi.cli.reporting import reporting
from vi.errors import ConfigurationError
from vi.files.lock import require_free

_MOST_JOBS = 10_000
_STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)


class Outcome(NamedTuple):
    """Outcome of a job: its exit code, and its numbers or its error."""

    number: int
    options: str
    code: int
    told: str


class Jobs:
    """Task of a sweep that never fails, so that the jobs after a failed one run.

    Args:
        run: Function that runs a job and returns its line in the table.
    """

    def __init__(self, run: Callable[[DictConfig], str]) -> None:
        self.run = run
        self.outcomes: list[Outcome] = []

    def __call__(self, config: DictConfig) -> Outcome:
        """Run one job; end the sweep only after SIGINT or SIGTERM."""
        hydra = HydraConfig.get()
        options = " ".join(filter_overrides(hydra.overrides.task))
        code, told = self._tried(config)
        outcome = Outcome(int(hydra.job.num), options, code, told)
        self.outcomes.append(outcome)
        if code in _STOPPED:
            raise SystemExit(code)
        return outcome

    def _tried(self, config: DictConfig) -> tuple[int, str]:
        """Run a job; return its exit code, and its result or error."""
        try:
            with reporting():
                return 0, self.run(config)
        except SystemExit as end:
            return int(end.code or 0), str(end.__context__ or "")
        except Exception as error:  # an error in vi itself: the other jobs may still succeed
            traceback.print_exc()
            return 1, f"{type(error).__name__}: {error}"


def sweep(
    hydra: Hydra,
    overrides: Sequence[str],
    main: Callable[..., Any],
    run: Callable[..., str],
) -> int:
    """Run the jobs of a sweep, and print a table of their outcomes.

    Args:
        hydra: Hydra, from ``hydra_here``.
        overrides: Options of the command line.
        main: The function whose parameters are the top level of the configuration.
        run: Function that runs a job, from its configuration and the ``folder`` of Hydra's files.

    Returns:
        The exit code of the first job that failed, else 0.

    Raises:
        ConfigurationError: A job cannot be composed, or two jobs share a directory.
        RunDirectoryError: Another process writes to the directory of a job.
    """
    config = configuration("train", overrides, RunMode.MULTIRUN)
    _check_jobs(hydra, config, overrides, main)
    callbacks = Callbacks(config)
    context = HydraContext(config_loader=hydra.config_loader, callbacks=callbacks)
    jobs_ = Jobs(partial(run, folder=job_files.withheld(config)))
    with explained("train", overrides):
        sweeper = Plugins.instance().instantiate_sweeper(
            config=config, hydra_context=context, task_function=jobs_
        )
    if _is_hydras_own(config):
        sweeper.validate_batch_is_legal = lambda batch: None  # it composes each job once more
    returned: Any = None
    try:
        callbacks.on_multirun_start(config=config, config_name="train")
        returned = sweeper.sweep(arguments=list(config.hydra.overrides.task))
        callbacks.on_multirun_end(config=config, config_name="train")
    finally:
        outcomes = jobs_.outcomes or list(_returned(returned))
        _print_table(outcomes, Path(str(config.hydra.sweep.dir)))
    return next((o.code for o in outcomes if o.code), 0)


def jobs(overrides: Sequence[str], params: Mapping[str, Any] | None = None) -> list[list[str]]:
    """Return the overrides of each job of a sweep, split by Hydra's own sweeper.

    Args:
        overrides: Options of the command line.
        params: Options from the configuration of the sweeper.

    Raises:
        ConfigurationError: An override cannot be read, or this sweeper does not support it.
    """
    with hydra_here() as hydra:
        return _jobs(hydra, overrides, params)


def _jobs(
    hydra: Hydra, overrides: Sequence[str], params: Mapping[str, Any] | None
) -> list[list[str]]:
    """Return the overrides of each job, inside ``hydra_here``."""
    texts = [*(f"{k}={v}" for k, v in (params or {}).items()), *overrides]
    with explained("train", ()):
        parser = OverridesParser.create(config_loader=hydra.config_loader)
        parsed = parser.parse_overrides(texts)
        _require_few(parsed)
        return [list(job) for job in chain(*BasicSweeper.split_arguments(parsed, None))]


def _require_few(parsed: Sequence[Override]) -> None:
    """Refuse a sweep of more than 10 000 jobs."""
    number = prod(_values(o) for o in parsed)
    if number > _MOST_JOBS:
        raise ConfigurationError(
            f"the sweep has {number:.0f} jobs; at most {_MOST_JOBS} are taken",
            hint="give fewer values, or several sweeps",
        )


def _values(override: Override) -> float:
    """Return the number of values of an override, without generating them."""
    sweep_ = override.value()
    if isinstance(sweep_, RangeSweep) and sweep_.stop is not None and sweep_.step:
        return max(0, ceil((float(sweep_.stop) - float(sweep_.start or 0)) / float(sweep_.step)))
    return len(sweep_.list) if isinstance(sweep_, ChoiceSweep) else 1


def _check_jobs(
    hydra: Hydra, config: DictConfig, overrides: Sequence[str], main: Callable[..., Any]
) -> None:
    """Check all jobs of Hydra's own sweeper; for another sweeper, only the common options."""
    sweeper = config.hydra.sweeper
    if not _is_hydras_own(config):
        checked(
            config, overrides, main
        )  # the sweeper chooses values: each job is checked when it runs
        return
    if sweeper.max_batch_size is not None and sweeper.max_batch_size < 1:
        raise ConfigurationError(
            f"hydra.sweeper.max_batch_size={sweeper.max_batch_size} runs no job",
            hint="leave it out",
        )
    with _resolving(config):
        str(config.hydra.sweep.dir)  # resolve its time once: otherwise each job would have its own
    places: dict[str, int] = {}
    for number, job in enumerate(_jobs(hydra, config.hydra.overrides.task, sweeper.params)):
        one = _of_job(hydra, config, job, number)
        plain = checked(one, [*config.hydra.overrides.hydra, *job], main)
        _require_one_process(plain)
        require_free(Path(_place(one)))
        first = places.setdefault(_place(one), number)
        if first != number:
            raise ConfigurationError(
                f"jobs {first} and {number} would write to the same {_place(one)}",
                hint="leave hydra.sweep.subdir out: each job has a directory with its number",
            )


def _is_hydras_own(config: DictConfig) -> bool:
    """Return whether the sweeper is Hydra's ``BasicSweeper``."""
    return str(config.hydra.sweeper._target_).rpartition(".")[2] == BasicSweeper.__name__


def _of_job(hydra: Hydra, config: DictConfig, job: list[str], number: int) -> DictConfig:
    """Return the composed configuration of one job."""
    if own_options(job) != job:
        raise ConfigurationError(
            f"in {' '.join(job)} a group is null, which a sweep cannot choose",
            hint="name an option, or type ~group in a command of its own",
        )
    with explained("train", job):
        one = hydra.config_loader.load_sweep_config(config, job)
        with open_dict(one):
            one.hydra.job.num = number
            one.hydra.job.id = str(number)
    return one


def _place(config: DictConfig) -> str:
    """Return the directory of a job."""
    with _resolving(config):
        return os.path.normpath(Path(str(config.hydra.sweep.dir), str(config.hydra.sweep.subdir)))


@contextmanager
def _resolving(config: DictConfig) -> Iterator[None]:
    """Resolve ``${hydra:...}`` from this configuration inside the ``with`` block."""
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(config)
    try:
        with explained("train", ()):
            yield
    finally:
        HydraConfig.instance().cfg = before


def _require_one_process(plain: Mapping[str, Any]) -> None:
    """Refuse jobs with several devices, which need several processes."""
    devices = plain["trainer"].get("devices", 1)
    if devices > 1:
        raise ConfigurationError(
            f"trainer.devices={devices}, but the jobs of a sweep run in one process each",
            hint="trainer.devices=1, or one command for each run",
        )


def _returned(results: Any) -> Iterator[Outcome]:
    """Iterate over the outcomes of jobs that ran in other processes."""
    for batch in results if isinstance(results, list | tuple) else ():
        for one in batch if isinstance(batch, list | tuple) else (batch,):
            if isinstance(one, JobReturn) and isinstance(one.return_value, Outcome):
                yield one.return_value


def _print_table(outcomes: Sequence[Outcome], place: Path) -> None:
    """Print the outcome of each job as a line."""
    done = sum(o.code == 0 for o in outcomes)
    print(f"\nsweep    {place}: {done} of {len(outcomes)} jobs finished")
    for o in outcomes:
        print(f"{o.number:>4}  {'ok' if not o.code else f'exit {o.code}':8} {o.options}  {o.told}")
