"""Which q(z|x), p(z) and ladder are worth their cost? Static MNIST, every family, a few seeds.

    python benchmarks/families.py                 # the table of benchmarks/results/families.md
    python benchmarks/families.py --epochs 1 --seeds 1 --images 100 --out /tmp/try

Each run is a plain ``python -m vi train``, from the same seeds; the table shows differences within
a seed, to a diagonal Gaussian with the standard normal prior: with the same estimate of the KL for
posteriors and priors, with its closed form for the ladder.

All of it takes some hours. Every finished run adds a line to ``results/families.jsonl``, and what
stands there is not run again; so the work can be stopped, and shared with ``--only`` and ``--seeds
1-2`` between processes.
"""

import argparse
import json
import math
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from _machine import commit, foot

from vi.files.findings import findings

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
POSTERIORS = [name for name, own in DRAWN.items() if not any("prior" in part for part in own)]
BASE_OF = dict.fromkeys(DRAWN, BASE) | {CLOSED: CLOSED, "ladder": CLOSED}
SETTINGS = {name: ["bound=elbo_log_weight", *own] for name, own in DRAWN.items()}
SETTINGS |= {CLOSED: [], "ladder": ["model=ladder"]}
RESULTS = Path(__file__).parent / "results"
LINES = RESULTS / "families.jsonl"


class Run(NamedTuple):
    """What was run, and of one run, nats per datum; the gaps are those of a posterior."""

    family: str
    seed: int
    epochs: int
    images: int
    elbo: float
    log_likelihood: float
    kl: float
    commit: str
    amortization_gap: float = math.nan
    approximation_gap: float = math.nan


def main() -> None:
    """Train what is missing, and write the table."""
    parser = argparse.ArgumentParser(description="Posteriors and priors on static MNIST.")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", default="0-2", help="from-to")
    parser.add_argument("--images", type=int, default=1000, help="test images for log p(x)")
    parser.add_argument("--only", default="", help="names of families, with semicolons")
    parser.add_argument("--out", type=Path, default=Path("outputs/benchmark_families"))
    options = parser.parse_args()
    names = [name.strip() for name in options.only.split(";")] if options.only else list(SETTINGS)
    first, last = map(int, options.seeds.split("-"))
    rows: dict[str, list[Run]] = {name: [] for name in names}
    for seed in range(first, last + 1):
        for name in names:
            rows[name].append(finished(name, seed, options) or run(name, seed, options))
    text = report(rows, options)
    print(text)
    if not options.only:
        (RESULTS / "families.md").write_text(text, encoding="utf-8")


def finished(name: str, seed: int, options: argparse.Namespace) -> Run | None:
    """What an earlier run left."""
    wanted = name, seed, options.epochs, options.images
    lines = LINES.read_text(encoding="utf-8").splitlines() if LINES.is_file() else []
    runs = (Run(**json.loads(line)) for line in lines)
    return next((run for run in runs if run[:4] == wanted), None)


def run(name: str, seed: int, options: argparse.Namespace) -> Run:
    """One run of the command line, and log p(x) of some test images with 5000 samples."""
    folder = options.out / f"{name.replace(' ', '_').replace(',', '')}_{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    settings = [f"seed={seed}", f"trainer.max_epochs={options.epochs}", f"hydra.run.dir={folder}"]
    quiet = ["callbacks=early_stopping", "trainer.progress_bar=false", "evaluation.num_samples=1"]
    _vi("train", "data=static_mnist", *SETTINGS[name], *settings, *quiet)
    sampling = ["evaluation=importance_sampling", "evaluation.num_samples=5000"]
    _vi("evaluate", f"run={folder}", f"limit={options.images}", *sampling)
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    exact = findings(folder)["importance sampling on test"]["numbers"]["log_likelihood"]["value"]
    found = metrics["test/elbo"], exact, metrics["test/kl"], commit()
    made = Run(name, seed, options.epochs, options.images, *found, *gaps(name, folder))
    with LINES.open("a", encoding="utf-8") as file:
        known = {k: v for k, v in made._asdict().items() if v == v}  # without the gaps of others
        file.write(json.dumps(known) + "\n")
    print(*made, flush=True)
    return made


def gaps(name: str, folder: Path) -> list[float]:
    """Of the encoder and of the family, from a hundred test images."""
    if name not in POSTERIORS:
        return []
    path = folder / "gaps.json"
    _vi("evaluate", f"run={folder}", "evaluation=inference_gaps", "limit=100", f"out={path}")
    numbers = findings(folder, path)["inference gaps on test"]["numbers"]
    return [numbers[gap]["value"] for gap in ("amortization_gap", "approximation_gap")]


def _vi(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "vi", *arguments], check=True, stdout=subprocess.DEVNULL)


def report(rows: dict[str, list[Run]], options: argparse.Namespace) -> str:
    """Means over the seeds and paired differences, as Markdown."""
    lines = [f"| {' | '.join(_cells(name, rows))} |" for name in rows]
    return f"""# Posteriors, priors and the ladder

Static MNIST, 784-500-500-40 VAE with ReLU, Bernoulli likelihood, batch 128, Adam 1e-3,
{options.epochs} epochs, seeds {options.seeds}; nats. Test ELBO of all test images, log p(x) of
{options.images} of them, spread evenly, with 5000 importance samples. Differences within a seed,
mean ± standard error over the seeds: to the first row, where the KL is estimated by one draw; the
ladder's to the VAE whose KL is in closed form, as its own is. Of the posteriors also what refining
q for each of 100 test images wins, the amortization gap, and what is then left to log p(x), the
approximation gap: only the second one is a matter of the family. There log p(x) is estimated from
the refined q, which finds more of it than 5000 samples of the encoder's q do.

| | test ELBO | difference | log p(x) | difference | KL | amortization gap | approximation gap |
|---|---|---|---|---|---|---|---|
{chr(10).join(lines)}

{foot("python benchmarks/families.py", [])}"""


def _cells(name: str, rows: dict[str, list[Run]]) -> list[str]:
    runs, base = rows[name], rows.get(BASE_OF[name])

    def difference(field: str) -> str:
        if base is None or runs is base:
            return "-"
        pairs = zip(runs, base, strict=True)
        values = [getattr(one, field) - getattr(other, field) for one, other in pairs]
        error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else math.nan
        return f"{statistics.mean(values):+.2f} ± {error:.2f}"

    def mean(field: str) -> str:
        return f"{statistics.mean(getattr(run, field) for run in runs):.2f}"

    return [
        name,
        mean("elbo"),
        difference("elbo"),
        mean("log_likelihood"),
        difference("log_likelihood"),
        mean("kl"),
        *(mean(gap) if name in POSTERIORS else "" for gap in Run._fields[-2:]),
    ]


if __name__ == "__main__":
    main()
