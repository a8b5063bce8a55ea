"""Train a model and measure it."""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from vi.cli.compose import composed, plain_values
from vi.cli.reporting import reporting
from vi.errors import CheckpointError, ViError
from vi.training.registry import config_dir


def main(arguments: Sequence[str] | None = None) -> None:
    """Check the whole command line, then let Hydra make the run directories and run the jobs."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    with reporting():
        flags = get_args_parser().parse_args(arguments)
        asks = flags.help or flags.hydra_help or flags.cfg or flags.info
        if not (asks or flags.shell_completion):
            resumed = _options_of_the_run(flags.overrides)
            arguments = [*resumed, *arguments]
            for job in _jobs([*resumed, *flags.overrides], sweep=flags.multirun):
                composed("train", job, train)
    sys.argv[1:] = arguments
    hydra.main(str(config_dir().resolve()), "train", version_base="1.3")(_job)()


def _jobs(overrides: Sequence[str], *, sweep: bool) -> list[list[str]]:
    """The overrides of every job of a sweep."""
    if not sweep:
        return [list(overrides)]
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    return [list(job) for job in chain(*BasicSweeper.split_arguments(parsed, None))]


def _options_of_the_run(overrides: Sequence[str]) -> list[str]:
    """For ``ckpt_path=RUN/checkpoints/last.ckpt``: the options of that run, and its directory."""
    given = dict(o.split("=", 1) for o in overrides if "=" in o)
    if given.get("ckpt_path") in (None, "null"):
        return []
    run_dir = Path(given["ckpt_path"]).parent.parent
    written = run_dir / ".hydra" / "overrides.yaml"
    if not Path(given["ckpt_path"]).is_file():
        raise CheckpointError(
            f"there is no checkpoint {given['ckpt_path']}",
            hint="a run keeps checkpoints/last.ckpt and checkpoints/best.ckpt",
        )
    if not written.is_file():
        return []
    kept = [str(o) for o in OmegaConf.load(written) if not str(o).startswith("hydra.")]
    return [*kept, f"hydra.run.dir={run_dir}"]


def _job(config: DictConfig) -> None:
    run_dir = Path(HydraConfig.get().runtime.output_dir)
    with reporting():
        try:
            train(**plain_values(config), run_dir=_relative(run_dir))
        except ViError:
            _remove_if_nothing_was_made(run_dir)
            raise


def _relative(path: Path) -> Path:
    """The path as the user would type it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _remove_if_nothing_was_made(run_dir: Path) -> None:
    if {p.name for p in run_dir.iterdir()} <= {".hydra"}:
        shutil.rmtree(run_dir)
        for parent in run_dir.relative_to(Path.cwd()).parents[:-1] if _inside(run_dir) else ():
            if any(parent.iterdir()):
                break
            parent.rmdir()


def _inside(path: Path) -> bool:
    return path.is_relative_to(Path.cwd())


def train(
    model: dict[str, Any],
    encoder: dict[str, Any],
    decoder: dict[str, Any],
    posterior: dict[str, Any],
    prior: dict[str, Any],
    likelihood: dict[str, Any],
    bound: dict[str, Any],
    scheme: dict[str, Any],
    optimizer: dict[str, Any],
    schedule: dict[str, Any],
    trainer: dict[str, Any],
    evaluation: dict[str, Any],
    data: dict[str, Any],
    callbacks: dict[str, Any] | None,
    logger: dict[str, Any] | None,
    seed: int,
    latent_dim: int,
    hidden: list[int],
    ckpt_path: str | None,
    init_from: str | None,
    plugins: list[str],
    run_dir: Path | None = None,
) -> None:
    """Build the parts that a composed configuration describes, and fit."""
    import torch

    from vi.data.base import DataSet
    from vi.training.fit import fit
    from vi.training.registry import build

    groups = {k: v for k, v in locals().items() if isinstance(v, dict) and "_target_" in v}
    dataset: DataSet = build("data", data, plugins=plugins)
    loaded = replace(dataset.load(seed), option=dataset)
    facts = {"data_shape": loaded.shape, "context_dim": loaded.context_dim, "save_dir": run_dir}

    def part(group: str, node: dict[str, Any]) -> Any:
        return build(group, node, supply={**groups, **facts}, plugins=plugins)

    torch.manual_seed(seed)
    fit(
        part("model", model),
        loaded,
        part("bound", bound),
        part("scheme", scheme),
        seed=seed,
        run_dir=run_dir,
        trainer=part("trainer", trainer),
        evaluation=part("evaluation", evaluation),
        callbacks=[part("callbacks", node) for node in (callbacks or {}).values()],
        loggers=[part("logger", node) for node in (logger or {}).values()],
        ckpt_path=ckpt_path,
        init_from=init_from,
        plugins=plugins,
    )
