"""Train a model and measure it."""

import contextlib
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from vi.cli.compose import composed, jobs, plain_values, value_of
from vi.cli.reporting import reporting
from vi.errors import CheckpointError, ConfigurationError
from vi.training.registry import config_dir


def main(arguments: Sequence[str] | None = None) -> None:
    """Check the whole command line, then let Hydra make the run directories and run the jobs."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    with reporting():
        flags = get_args_parser().parse_args(arguments)
        asks = flags.help or flags.hydra_help or flags.cfg or flags.info
        if not (asks or flags.shell_completion):
            _refuse_config_dir(flags.config_dir)
            resumed = _options_of_the_run(value_of(flags.overrides, "ckpt_path"))
            arguments = [*resumed, *arguments]
            overrides = [*resumed, *flags.overrides]
            for job in jobs(overrides) if flags.multirun else [overrides]:
                composed("train", job, train)
    sys.argv[1:] = arguments
    hydra.main(str(config_dir().resolve()), "train", version_base="1.3")(_job)()


def _refuse_config_dir(folder: str | None) -> None:
    if folder is not None:
        raise ConfigurationError(
            "--config-dir is not known here",
            hint=f"hydra.searchpath=[file://{Path(folder).resolve()}] adds a folder of yaml files",
        )


def _options_of_the_run(ckpt_path: str | None) -> list[str]:
    """For ``ckpt_path=RUN/checkpoints/last.ckpt``: the options of that run, and its directory.

    Of what was said to Hydra itself only the search path is kept.
    """
    if ckpt_path is None:
        return []
    checkpoint = Path(ckpt_path).resolve()
    run_dir = checkpoint.parent.parent
    written = run_dir / ".hydra" / "overrides.yaml"
    if not checkpoint.is_file():
        raise CheckpointError(
            f"there is no checkpoint {ckpt_path}",
            hint="a run keeps checkpoints/last.ckpt and checkpoints/best.ckpt",
        )
    if not written.is_file():
        raise CheckpointError(
            f"{ckpt_path} does not lie in the checkpoints/ of a run, so its options are unknown",
            hint="give RUN/checkpoints/last.ckpt, or go on from Python: vi.fit(ckpt_path=...)",
        )
    overrides = [str(o) for o in OmegaConf.load(written)]
    kept = [o for o in overrides if not o.lstrip("+~").startswith(("hydra.", "hydra/", "hydra@"))]
    said = OmegaConf.load(written.with_name("hydra.yaml")).hydra.searchpath
    search = [f"hydra.searchpath=[{','.join(map(_quoted, said))}]"] if said else []
    return [*kept, *search, f"hydra.run.dir={_quoted(str(_relative(run_dir)))}"]


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _job(config: DictConfig) -> None:
    run_dir = Path(HydraConfig.get().runtime.output_dir)
    with reporting():
        try:
            train(**plain_values(config), run_dir=_relative(run_dir))
        except Exception:
            _remove_if_nothing_was_made(run_dir)
            raise


def _relative(path: Path) -> Path:
    """The path as the user would type it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _remove_if_nothing_was_made(run_dir: Path) -> None:
    """Take away what Hydra made for a run that did not begin, and nothing that holds more."""
    if {p.name for p in run_dir.iterdir()} != {".hydra"}:
        return
    shutil.rmtree(run_dir / ".hydra")
    with contextlib.suppress(OSError):  # not empty
        for folder in (run_dir, *run_dir.parents):
            if folder == Path.cwd() or (folder != run_dir and not _inside(folder)):
                break
            folder.rmdir()


def _inside(folder: Path) -> bool:
    return folder.is_relative_to(Path.cwd())


def train(
    *,
    model: dict[str, Any],
    encoder: dict[str, Any],
    decoder: dict[str, Any],
    posterior: dict[str, Any],
    prior: dict[str, Any],
    likelihood: dict[str, Any],
    covariance: dict[str, Any],
    initialization: dict[str, Any],
    bound: dict[str, Any],
    scheme: dict[str, Any],
    refinement: dict[str, Any],
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
    num_components: int,
    standardize: bool,
    ckpt_path: str | None,
    init_from: str | None,
    plugins: list[str],
    run_dir: Path | None = None,
) -> None:
    """Build the parts that a composed configuration describes, and fit."""
    given = dict(locals())

    import torch

    from vi.data.base import DataSet
    from vi.training.fit import fit
    from vi.training.registry import build
    from vi.training.settings import require_seed

    require_seed(seed)
    groups = {k: v for k, v in given.items() if isinstance(v, dict) and "_target_" in v}
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
