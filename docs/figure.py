"""Draw the figure of the README from a run: python docs/figure.py RUN docs/figure.png."""

import csv
import sys
from pathlib import Path

import matplotlib.image
from matplotlib.figure import Figure

COLOURS = {"elbo": "#0072b2", "kl": "#d55e00", "reconstruction": "#009e73"}


def curves(run: Path) -> dict[str, list[tuple[float, float]]]:
    """(epoch, nats) of every curve in the CSV log."""
    path = max(run.glob("csv/*/metrics.csv"))
    rows = list(csv.DictReader(path.open(encoding="utf-8")))
    validations = [row for row in rows if row.get("val/elbo")]
    per_epoch = int(validations[0]["step"])
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for name, value in row.items():
            if value and name != "step":
                found.setdefault(name, []).append((int(row["step"]) / per_epoch, float(value)))
    return found


def main(run: Path, out: Path) -> None:
    """Draw curves above the reconstructions, and samples beside both."""
    figure = Figure(figsize=(12, 4.4), layout="constrained")
    grid = figure.add_gridspec(2, 4, width_ratios=(1, 1, 1, 1.75), height_ratios=(1.05, 1))
    found = curves(run)
    for column, (name, colour) in enumerate(COLOURS.items()):
        axes = figure.add_subplot(grid[0, column])
        for split, style in (("train", ":"), ("val", "-")):
            axes.plot(*zip(*found[f"{split}/{name}"], strict=True), style, color=colour)
        values = [value for _, value in found[f"val/{name}"]]
        room = 0.25 * (max(values) - min(values))
        axes.set_ylim(min(values) - room, max(values) + room)
        axes.set(xlabel="epoch", title=f"{name}, nats")
    for place, name in ((grid[1, :3], "reconstructions"), (grid[:, 3], "samples")):
        axes = figure.add_subplot(place)
        axes.imshow(matplotlib.image.imread(run / f"{name}.png"))
        axes.set_axis_off()
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
