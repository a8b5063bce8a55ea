"""Which q(z|x), p(z) and ladder are worth their cost? Static MNIST, every family, a few seeds.

    python benchmarks/families.py                 # the table of benchmarks/results/families.md
    python benchmarks/families.py --epochs 1 --seeds 1 --images 100 --out /tmp/try

Each run is a plain ``python -m vi train``, from the same seeds; the table shows differences within
a seed, to a diagonal Gaussian with the standard normal prior: with the same estimate of the KL for
posteriors and priors, with its closed form for the ladder. Finished runs are not repeated.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from _machine import foot

BASE = "diagonal Gaussian, standard normal"
CLOSED = "diagonal Gaussian, closed KL"
DRAWN = {
    BASE: [],
    "full Gaussian": ["posterior=full_gaussian"],
    "low-rank Gaussian": ["posterior=low_rank_gaussian"],
    "mixture of Gaussians q": ["posterior=gaussian_mixture"],
    "flow q": ["posterior=flow"],
    "mixture of Gaussians p": ["prior=gaussian_mixture", "num_components=100"],
    "VampPrior": ["prior=vamp", "num_components=500"],
    "flow p": ["prior=flow"],
}
BASE_OF = dict.fromkeys(DRAWN, BASE) | {CLOSED: CLOSED, "ladder": CLOSED}
SETTINGS = {name: ["bound=elbo_log_weight", *own] for name, own in DRAWN.items()}
SETTINGS |= {CLOSED: [], "ladder": ["model=ladder"]}
RESULTS = Path(__file__).parent / "results"


class Measured(NamedTuple):
    """Of one run, nats per datum."""

    elbo: float
    log_likelihood: float
    kl: float
    seconds: float


def main() -> None:
    """Train what is missing, and write the table."""
    parser = argparse.ArgumentParser(description="Posteriors and priors on static MNIST.")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=1000, help="test images for log p(x)")
    parser.add_argument("--only", default="", help="names of families, with semicolons")
    parser.add_argument("--out", type=Path, default=Path("outputs/benchmark_families"))
    options = parser.parse_args()
    names = [name.strip() for name in options.only.split(";")] if options.only else list(SETTINGS)
    rows: dict[str, list[Measured]] = {name: [] for name in names}
    for seed in range(options.seeds):
        for name in names:
            run = options.out / f"{name.replace(' ', '_').replace(',', '')}_{seed}"
            rows[name].append(measured(name, seed, options, run))
            print(name, seed, *(f"{x:.2f}" for x in rows[name][-1]), flush=True)
    text = report(rows, options)
    print(text)
    if not options.only:
        (RESULTS / "families.md").write_text(text, encoding="utf-8")


def measured(name: str, seed: int, options: argparse.Namespace, run: Path) -> Measured:
    """One run of the command line, and log p(x) of some test images with 5000 samples."""
    if not (run / "metrics.json").is_file():
        settings = [f"seed={seed}", f"trainer.max_epochs={options.epochs}", f"hydra.run.dir={run}"]
        quiet = ["callbacks=early_stopping", "trainer.progress_bar=false"]
        _vi(
            "train",
            "data=static_mnist",
            *SETTINGS[name],
            *settings,
            *quiet,
            "evaluation.num_samples=1",
        )
    if not (run / "evaluation.json").is_file():
        _vi("evaluate", f"run={run}", f"limit={options.images}", "evaluation.num_samples=5000")
    metrics, exact = (
        json.loads((run / f"{part}.json").read_text(encoding="utf-8"))
        for part in ("metrics", "evaluation")
    )
    log_p = exact["test/log_likelihood"]
    return Measured(metrics["test/elbo"], log_p, metrics["test/kl"], metrics["train/seconds"])


def _vi(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "vi", *arguments], check=True, stdout=subprocess.DEVNULL)


def report(rows: dict[str, list[Measured]], options: argparse.Namespace) -> str:
    """Means over the seeds and paired differences, as Markdown."""
    lines = [f"| {' | '.join(_cells(name, rows))} |" for name in rows]
    return f"""# Posteriors, priors and the ladder

Static MNIST, 784-500-500-40 VAE with ReLU, Bernoulli likelihood, batch 128, Adam 1e-3,
{options.epochs} epochs, {options.seeds} seeds; nats. Test ELBO of all test images, log p(x) of
{options.images} of them, spread evenly, with 5000 importance samples. Differences within a seed,
mean ± standard error over the seeds: to the first row, where the KL is estimated by one draw; the
ladder's to the VAE whose KL is in closed form, as its own is.

| | test ELBO | difference | log p(x) | difference | KL | training s |
|---|---|---|---|---|---|---|
{chr(10).join(lines)}

{foot("python benchmarks/families.py", [])}"""


def _cells(name: str, rows: dict[str, list[Measured]]) -> list[str]:
    runs, base = rows[name], rows.get(BASE_OF[name])

    def difference(field: str) -> str:
        if base is None or runs is base:
            return "-"
        pairs = zip(runs, base, strict=True)
        values = [getattr(one, field) - getattr(other, field) for one, other in pairs]
        error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else math.nan
        return f"{statistics.mean(values):+.2f} ± {error:.2f}"

    def mean(field: str, digits: int = 2) -> str:
        return f"{statistics.mean(getattr(run, field) for run in runs):.{digits}f}"

    return [
        name,
        mean("elbo"),
        difference("elbo"),
        mean("log_likelihood"),
        difference("log_likelihood"),
        mean("kl"),
        mean("seconds", 0),
    ]


if __name__ == "__main__":
    main()
