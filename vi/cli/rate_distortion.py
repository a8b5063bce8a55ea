"""Train a model for each of several weights of the KL; draw their rate and distortion."""

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vi.cli.runs import open_run, start
from vi.config.schema import parameters
from vi.config.typed import option, quoted
from vi.errors import ConfigurationError, DataError, require_positive

if TYPE_CHECKING:
    from vi.diagnoses.rate_distortion import RatePoint
    from vi.training.devices import DeviceName

_OURS = {"bound", "bound.beta", "hydra.run.dir", "ckpt_path", "init_from"}
_STOPPED = (130, 143)  # exit codes of SIGINT and SIGTERM
_FACTS = ("data/name", "data/binarize", "data/split", "data/n_test", "data/levels", "data/shape")


def main(arguments: Sequence[str] | None = None) -> None:
    """Start the command; options that are not its own are those of train."""
    arguments = list(sys.argv[2:] if arguments is None else arguments)
    rest: list[str] = []

    def command(
        betas: list[float],
        runs: list[str],
        dir: str | None,
        split: Literal["train", "val", "test"],
        device: Literal["auto", "cpu", "gpu"],
        plugins: list[str],
    ) -> None:
        trained = runs or _train(betas, [*rest, *_typed(plugins)], _folder(dir))
        folder = Path(dir or ".") if runs else Path(trained[0]).parent
        _draw(trained, folder, split, device, plugins)

    command.__doc__ = __doc__
    own = {*parameters(command), "-h", "--help"}
    rest += [text for text in arguments if text.partition("=")[0] not in own]
    start("rate_distortion", command, [text for text in arguments if text not in rest])


def _typed(plugins: Sequence[str]) -> list[str]:
    return [f"plugins=[{','.join(plugins)}]"] if plugins else []


def _folder(dir: str | None) -> Path:
    """Return the folder of all runs, a new one if none is given."""
    now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")
    return Path(dir) if dir else Path("outputs", "rate_distortion", now)


def _train(betas: Sequence[float], options: Sequence[str], folder: Path) -> list[str]:
    """Train a model for each beta in a folder of its own, and return these folders.

    A run that has ended is not trained again, and one that was stopped is resumed.

    Raises:
        ConfigurationError: The options do not compose, or a folder has a run of other options.
    """
    _require_betas(betas)
    jobs = {folder / f"beta_{beta:g}": _job(options, beta) for beta in betas}
    _check(jobs)
    codes = []
    for number, (place, job) in enumerate(jobs.items(), 1):
        print(f"\n{place}  ({number} of {len(jobs)})", flush=True)
        codes.append(_trained(place, job))
        if codes[-1] in _STOPPED:
            break
    if any(codes):
        again = option("dir", folder)
        print(f"to go on, add {again} to the same command: runs that ended are not repeated")
        raise SystemExit(next(code for code in codes if code))
    return [str(place) for place in jobs]


def _require_betas(betas: Sequence[float]) -> None:
    if not betas or len({f"{beta:g}" for beta in betas}) < len(betas):
        raise ConfigurationError(
            f"betas must be different weights of the KL, got {list(betas)}",
            hint="betas=[0.1,0.5,1,2,4]",
        )
    for beta in betas:
        require_positive("betas", beta)


def _job(options: Sequence[str], beta: float) -> list[str]:
    """Return the command line of one training.

    Raises:
        ConfigurationError: An option is set here, or is no option.
    """
    for text in options:
        name = text.partition("=")[0].lstrip("+~")
        if name in _OURS or text.startswith("-"):
            raise ConfigurationError(
                f"{text} cannot be given here: each run has bound=beta and a folder of its own",
                hint="bound@bound.bound=iwae weights the KL of another bound; dir=DIR places all",
            )
    return [*options, "bound=beta", f"bound.beta={float(beta)!r}"]


def _check(jobs: dict[Path, list[str]]) -> None:
    """Check the options of all runs before the first is trained."""
    from vi.cli.composing.compose import checked, configuration, hydra_here
    from vi.cli.composing.run_options import has_options
    from vi.config.run import Run

    written: dict[Path, list[str]] = {}
    with hydra_here():
        for place, job in jobs.items():
            config = configuration("train", job)
            checked(config, job, Run)
            written[place] = list(config.hydra.overrides.task)
    for place, texts in written.items():
        if place.exists() and any(place.iterdir()) and not has_options(place, texts):
            raise ConfigurationError(
                f"{place} is not a run with these options",
                hint="give the options of the first command, or another dir",
            )


def _trained(place: Path, job: Sequence[str]) -> int:
    """Train, resume, or skip a run; return its exit code."""
    from vi.cli import train

    checkpoint = place / "checkpoints" / "last.ckpt"
    if (place / "metrics.json").is_file() and (place / "model").is_dir():
        print("trained already")
        return 0
    where = ("ckpt_path", checkpoint) if checkpoint.is_file() else ("hydra.run.dir", place)
    try:
        train.main([*job, f"{where[0]}={quoted(str(where[1]))}"])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def _draw(
    runs: Sequence[str], folder: Path, split: str, device: "DeviceName", plugins: Sequence[str]
) -> None:
    """Measure all runs; write the picture, the numbers, and a finding for each run."""
    from vi.diagnoses.rate_distortion import verdict
    from vi.figures.rate_distortion import rate_distortion_figure
    from vi.figures.save import save_figure
    from vi.files.atomic import write_atomically

    measured = _measured(runs, split, device, plugins)
    points = [measured[run][0] for run in runs]
    shown = [(p.label, p.rate.value, p.distortion.value) for p in points]
    said = verdict(points)
    save_figure(rate_distortion_figure(shown, split), folder / "rate_distortion.png")
    whole = {
        "split": split,
        "facts": measured[runs[0]][1],
        "runs": {run: _plain(point) for run, (point, _) in measured.items()},
        "said": said,
    }
    text = json.dumps(whole, indent=2) + "\n"
    write_atomically(folder / "rate_distortion.json", text.encode())
    print(f"\n{'':14} {'rate':>9} {'distortion':>11} {'ELBO':>9}   nats per datum, {split}")
    for run, point in zip(runs, points, strict=True):
        numbers = point.rate.value, point.distortion.value, point.elbo.value
        print("{:14} {:9.3f} {:11.3f} {:9.3f}   {}".format(point.label, *numbers, run))
    print("\n".join(said))
    print(f"picture  {folder / 'rate_distortion.png'}")
    print(f"written to {folder / 'rate_distortion.json'}")


def _measured(
    runs: Sequence[str], split: str, device: "DeviceName", plugins: Sequence[str]
) -> "dict[str, tuple[RatePoint, dict[str, Any]]]":
    """Return each run's point and the facts of its data, and record the finding.

    Raises:
        DataError: The runs were trained on different data.
    """
    from vi.diagnoses.rate_distortion import rate_point
    from vi.files.findings import Finding
    from vi.progress import watched
    from vi.training.progress_bar import progress_bar

    found: dict[str, tuple[RatePoint, dict[str, Any]]] = {}
    with progress_bar(f"measuring {split}"):
        for run in watched(list(dict.fromkeys(runs))):
            opened = open_run(run, device=device, plugins=plugins)
            rows = opened.split(split)
            point = rate_point(opened.model, rows, opened.bound, opened.seed, Path(run).name)
            facts = {k: v for k, v in opened.data.facts.items() if k in _FACTS}
            _require_same(facts, found, run)
            found[run] = (point, facts)
            of = {"split": split, "count": len(rows), "seed": opened.seed} | facts
            numbers = (point.rate, point.distortion, point.elbo)
            opened.record(Finding(f"rate and distortion on {split}", of, numbers))
    return found


def _require_same(facts: dict[str, Any], found: dict[str, Any], run: str) -> None:
    for other, (_, theirs) in found.items():
        if facts != theirs:
            name = next(k for k in _FACTS if facts.get(k) != theirs.get(k))
            raise DataError(
                f"{run} and {other} have different data: {name} {facts.get(name)} and "
                f"{theirs.get(name)}",
                hint="compare runs on the same data",
            )


def _plain(point: "RatePoint") -> dict[str, Any]:
    numbers = (point.rate, point.distortion, point.elbo)
    return {"label": point.label, "beta": point.beta} | {n.name: n.known() for n in numbers}
