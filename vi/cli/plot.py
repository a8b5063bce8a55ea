"""Draw curves of several runs against steps, epochs, evaluations or seconds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from vi.cli.runs import start
from vi.errors import CheckpointError, ConfigurationError
from vi.files.curve_files import curve_files, read_curves

Axis = Literal["step", "epochs", "seconds", "encoder_evaluations", "decoder_evaluations"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Start the command."""
    start("plot", plot, arguments)


def plot(runs: list[str], y: str, x: Axis, out: str, plugins: list[str]) -> None:
    """Draw one curve of every run into one picture; evaluations are counted per datum."""
    if not runs:
        raise ConfigurationError("runs=[] is empty", hint="runs=[DIR,...]")
    from matplotlib.figure import Figure

    from vi.figures.save import save_figure

    column = x if x == "step" else f"spent/{x}"
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for run in runs:
        axes.plot(*_curve(Path(run), column, y), label=run, linewidth=1.2)
    axes.set(xlabel=x.replace("_", " "), ylabel=f"{y} (nats per datum)")
    axes.legend(fontsize="small")
    save_figure(figure, Path(out))
    print(f"picture  {out}")


def _curve(run: Path, x: str, y: str) -> tuple[list[float], list[float]]:
    """Return both columns, in the rows where both have a number.

    A resumed run has a file for each part.
    """
    paths = curve_files(run / "csv")
    if not paths:
        raise CheckpointError(
            f"{run} contains no csv/version_*/metrics.csv",
            hint="runs=[DIR,...] names run directories that were trained with the CSV logger",
        )
    rows = [row for path in paths for row in read_curves(path)]
    known = {name for row in rows for name in row}
    for name in (x, y):
        if name not in known:
            raise ConfigurationError(
                f"{run} has no curve {name}", hint=f"it has {', '.join(sorted(known))}"
            )
    points = [(row[x], row[y]) for row in rows if x in row and y in row]
    return [p[0] for p in points], [p[1] for p in points]
