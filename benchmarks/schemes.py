"""One VAE, every scheme, equal evaluations: which gets how far?

    python benchmarks/schemes.py                  # the table of benchmarks/results/schemes.md
    python benchmarks/schemes.py --budget 7 --seeds 1 --out /tmp/try

Each run is a plain ``python -m vi train``; the budget counts rows through encoder and decoder per
training datum, so that a scheme that asks the model more often takes fewer steps.
"""

import argparse
import json
import math
import platform
import statistics
import subprocess
import sys
from pathlib import Path

import torch

import vi
from vi.diagnostics.mutual_information import mutual_information

SCHEMES = {
    "joint": ["scheme=joint"],
    "alternating 1:1": ["scheme=alternating"],
    "alternating 5:1": ["scheme=alternating", "scheme.e_steps=5"],
    "aggressive": ["scheme=aggressive"],
    "semi-amortised": ["scheme=semi_amortised", "refinement.num_steps=5"],
    "reweighted wake-sleep": ["scheme=reweighted_wake_sleep"],
}
MODEL = ["data=static_mnist", "hidden=[200,200]", "latent_dim=20", "trainer.max_epochs=1000"]
COLUMNS = ("test ELBO", "log p(x)", "gap", "KL", "MI", "epochs", "s")
REPOSITORY = Path(__file__).parent.parent


def main() -> None:
    """Train what is missing, and write the table."""
    parser = argparse.ArgumentParser(description="Every scheme at equal evaluations.")
    parser.add_argument("--budget", type=float, default=40.0, help="evaluations per datum")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("outputs/benchmark_schemes"))
    options = parser.parse_args()
    rows = {name: [] for name in SCHEMES}
    for seed in range(options.seeds):
        for name in SCHEMES:
            run = options.out / f"{name.replace(' ', '_').replace(':', '_')}_{seed}"
            if not (run / "metrics.json").is_file():
                train(name, seed, options.budget, run)
            rows[name].append(measure(run))
            print(name, seed, rows[name][-1], flush=True)
    text = report(rows, options.budget, options.seeds)
    print(text)
    (REPOSITORY / "benchmarks" / "results").mkdir(parents=True, exist_ok=True)
    (REPOSITORY / "benchmarks" / "results" / "schemes.md").write_text(text, encoding="utf-8")


def train(name: str, seed: int, budget: float, run: Path) -> None:
    """One run of the command line."""
    fixed = [f"seed={seed}", f"trainer.max_evaluations={budget}", f"hydra.run.dir={run}"]
    quiet = ["callbacks=early_stopping", "trainer.progress_bar=false"]
    command = [sys.executable, "-m", "vi", "train", *MODEL, *SCHEMES[name], *fixed, *quiet]
    subprocess.run(command, check=True)


@torch.no_grad()
def measure(run: Path) -> tuple[float, ...]:
    """What the table shows of a run."""
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    model = vi.load(run)
    test = vi.data.StaticMNIST().load(0).viewed(model.data_shape).test
    information = mutual_information(model, test.batch(torch.arange(1000)).x)
    elbo, log_p = metrics["test/elbo"], metrics["test/log_likelihood"]
    seconds, epochs = metrics["train/seconds"], metrics["spent/epochs"]
    return elbo, log_p, log_p - elbo, metrics["test/kl"], information, epochs, seconds


def report(rows: dict[str, list[tuple[float, ...]]], budget: float, seeds: int) -> str:
    """Mean and standard deviation over the seeds, as Markdown."""
    lines = [
        "# Schemes at equal evaluations",
        "",
        f"Static MNIST, 784-200-200-20 VAE, Bernoulli likelihood, batch 128, Adam 1e-3; "
        f"{budget:g} rows through encoder and decoder per training datum; {seeds} seeds, "
        "mean ± standard deviation, nats. log p(x) by importance sampling with K=100 and the "
        "q of the scheme; "
        "MI between x and z under q over 1 000 test data, at most log 1000 = 6.91.",
        "",
        f"| scheme | {' | '.join(COLUMNS)} |",
        f"|{'---|' * (len(COLUMNS) + 1)}",
    ]
    for name, runs in rows.items():
        cells = [_cell(values) for values in zip(*runs, strict=True)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=REPOSITORY
    ).stdout.strip()
    lines += ["", f"`python benchmarks/schemes.py --budget {budget:g} --seeds {seeds}`, "]
    lines[-1] += f"commit {commit}, vi {vi.__version__}, torch {torch.__version__}, "
    lines[-1] += f"{platform.machine()}, {torch.get_num_threads()} threads."
    return "\n".join(lines) + "\n"


def _cell(values: tuple[float, ...]) -> str:
    spread = statistics.stdev(values) if len(values) > 1 else math.nan
    return f"{statistics.mean(values):.2f} ± {spread:.2f}"


if __name__ == "__main__":
    main()
