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
    """Curves on the left, reconstructions and samples on the right."""
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    found = curves(run)
    for name, colour in COLOURS.items():
        for split, style in (("train", ":"), ("val", "-")):
            left.plot(
                *zip(*found[f"{split}/{name}"], strict=True),
                style,
                color=colour,
                label=name if split == "val" else None,
            )
    left.set(xlabel="epoch", ylabel="nats per image", title="validation: solid, training: dots")
    low = min(v for _, v in found["val/elbo"][1:])
    left.set_ylim(low * 1.15, None)
    left.legend()
    for axes, name in ((middle, "reconstructions"), (right, "samples")):
        axes.imshow(matplotlib.image.imread(run / f"{name}.png"))
        axes.set_axis_off()
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
