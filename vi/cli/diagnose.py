"""Diagnose a finished run: use of z, calibration of q(z|x), predictive checks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vi.cli.runs import Run, open_run, start
from vi.errors import ConfigurationError, DataError, ViError

if TYPE_CHECKING:
    from vi.diagnoses.base import Diagnosis, Diagnostic, Subject


_SMALL = 1e-3  # numbers below it are printed with an exponent
_SHOWN = 16  # most numbers of a diagnosis on the terminal


def main(arguments: Sequence[str] | None = None) -> None:
    """Start the command."""
    start("diagnose", diagnose_run, arguments)


def diagnose_run(
    run: str,
    split: Literal["train", "val", "test"],
    seed: int | None,
    device: Literal["auto", "cpu", "gpu"],
    data_dir: str | None,
    out: str | None,
    plugins: list[str],
    diagnostics: dict[str, Any],
) -> None:
    """Diagnose a finished run: numbers, sentences and pictures, in its report.md.

    diagnostics=[latent_use,calibration] chooses some of them, diagnostics.calibration=null leaves
    one out. A diagnostic that is not defined for the model says so in a sentence.
    """
    from vi.config.build import build
    from vi.diagnoses.base import Subject
    from vi.training.progress_bar import progress_bar

    if not diagnostics:
        raise ConfigurationError("no diagnostic is chosen", hint="diagnostics=latent_use")
    made = {k: build("diagnostics", node, plugins=plugins) for k, node in diagnostics.items()}
    opened = open_run(run, device=device, data_dir=data_dir, plugins=plugins)
    opened.split(split)
    seed = opened.seed if seed is None else seed
    subject = Subject(opened.model, opened.data, split, seed)
    with progress_bar(f"diagnosing {split}"):
        found = _diagnoses(made, subject)
    for name, diagnosis in found.items():
        if isinstance(diagnosis, ViError):
            print(f"{name.replace('_', ' ')}\n  not measured: {diagnosis}")
            continue
        _print(diagnosis)
        _record(opened, diagnosis, {"split": split, "seed": seed} | opened.data.facts, out)


def _diagnoses(
    made: "Mapping[str, Diagnostic]", subject: "Subject"
) -> "dict[str, Diagnosis | ViError]":
    """Return each diagnosis, or why it is not defined for this model or these data.

    Raises:
        ConfigurationError: None is defined for it.
        DataError: There are too few data for any of them.
    """
    from vi.progress import watched

    found: dict[str, Diagnosis | ViError] = {}
    for name, diagnostic in zip(made, watched(made.values()), strict=True):
        try:
            found[name] = diagnostic(subject)
        except (ConfigurationError, DataError) as error:
            found[name] = error
    first = next(iter(found.values()))
    if all(isinstance(one, ViError) for one in found.values()) and isinstance(first, ViError):
        raise first
    return found


def _print(diagnosis: "Diagnosis") -> None:
    """Print the numbers of a diagnosis, then its sentences."""
    print(diagnosis.title)
    for number in diagnosis.numbers[:_SHOWN]:
        print(f"  {number.name:44} {_digits(number.value):>10}  {number.unit}")
    if len(diagnosis.numbers) > _SHOWN:
        print(f"  and {len(diagnosis.numbers) - _SHOWN} more numbers in the report")
    for sentence in diagnosis.said:
        print(f"  {sentence}")


def _digits(value: float) -> str:
    if isinstance(value, int) or not value:
        return f"{value:g}"
    return f"{value:.4f}" if abs(value) >= _SMALL else f"{value:.2g}"


def _record(opened: Run, diagnosis: "Diagnosis", facts: dict[str, Any], out: str | None) -> None:
    """Save the pictures, and add the diagnosis to the findings of the run or to those in out."""
    from vi.figures.save import save_figure
    from vi.files.findings import Finding

    folder = opened.directory if out is None else Path(out)
    pictures = [folder / f"{name}.png" for name in diagnosis.figures]
    for path, figure in zip(pictures, diagnosis.figures.values(), strict=True):
        save_figure(figure, path)
        print(f"  picture  {path}")
    title, facts = f"{diagnosis.title} on {facts['split']}", dict(diagnosis.facts) | facts
    beside = pictures if out is None else []
    finding = Finding(title, facts, diagnosis.numbers, diagnosis.said, beside)
    opened.record(finding, None if out is None else str(folder / "diagnose.json"))
