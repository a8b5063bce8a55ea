"""How fast a small VAE trains: ``python train.py`` against what else one could run.

    python benchmarks/training.py                   # 5 interleaved repetitions
    python benchmarks/training.py --repeats 1 --only vi_train,plain_lightning

Every file in ``contenders/`` is one contender and one process: the same 784-500-500-2x40 network,
Fashion-MNIST binarised anew at every visit, Adam 1e-3, batch 128, float32. The processes take
turns; the second epoch is timed. A neutral computation of the test ELBO from the trained weights
shows that nobody computed something else. A contender whose packages are missing is left out by
name; ``BENCH_PYTHON_<CONTENDER>`` names another interpreter for it.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import vi
from vi.data.binarize import fixed_bits

_HERE = Path(__file__).parent
_BASE = "plain_lightning"
_BATCH = 128


def main() -> None:
    """Measure, print, and write ``results/training.md``."""
    parser = argparse.ArgumentParser(description="Training speed of a small VAE.")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="", help="names of contenders, with commas")
    options = parser.parse_args()
    files = sorted(p for p in (_HERE / "contenders").glob("*.py") if p.stem[0] != "_")
    chosen = [p for p in files if not options.only or p.stem in options.only.split(",")]
    results: dict[str, list[dict[str, float]]] = {p.stem: [] for p in chosen}
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        for _ in range(options.repeats):
            for path in chosen:
                result = run(path, folder)
                if result:
                    results[path.stem].append(result)
    text = report({k: v for k, v in results.items() if v}, options.repeats)
    print(text)
    if not options.only:  # a part of the table does not replace the whole
        (_HERE / "results" / "training.md").write_text(text, encoding="utf-8")


def prepare(folder: Path) -> None:
    """Save the data for contenders that know no torch: bytes to train on, fixed bits to test."""
    data = vi.data.FashionMNIST(binarize="none", validation_size=0).load()
    train = data.train.stored.flatten(1)
    np.save(folder / "train.npy", train[: len(train) // _BATCH * _BATCH].numpy())
    bits = fixed_bits(data.test.stored.flatten(1), 255, torch.Generator().manual_seed(0))
    np.save(folder / "test.npy", bits.numpy())


def run(path: Path, folder: str) -> dict[str, float] | None:
    """One process; None if its packages are missing."""
    python = os.environ.get(f"BENCH_PYTHON_{path.stem.upper()}", sys.executable)
    env = os.environ | {"BENCH_FOLDER": folder, "BENCH_STARTED": str(time.time())}
    done = subprocess.run([python, path], env=env, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if lines:
        result = json.loads(lines[-1].removeprefix("RESULT "))
        print(f"{path.stem:20} {result['samples_per_s']:.0f} samples/s", file=sys.stderr)
        return result
    if "ModuleNotFoundError" in done.stderr:
        print(f"left out {path.stem}: {done.stderr.splitlines()[-1]}", file=sys.stderr)
        return None
    raise SystemExit(f"{path.stem} failed:\n{done.stderr[-2000:]}")


def report(results: dict[str, list[dict[str, float]]], repeats: int) -> str:
    """A table in Markdown, the fastest first."""

    def column(name: str, key: str) -> list[float]:
        return [result[key] for result in results[name]]

    def median(name: str, key: str) -> float:
        return statistics.median(column(name, key))

    rows = []
    for name in sorted(results, key=lambda name: -median(name, "samples_per_s")):
        speeds = column(name, "samples_per_s")
        middle = statistics.median(speeds)
        cells = [
            name,
            f"{middle:.0f} ({min(speeds):.0f}-{max(speeds):.0f})",
            f"{middle / median(_BASE, 'samples_per_s'):.2f}" if _BASE in results else "-",
            f"{median(name, 'first_step_s'):.1f}",
            f"{median(name, 'test_elbo'):.2f}",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    table = "\n".join(rows)
    git = ["git", "-C", str(_HERE), "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    return f"""# Training a small VAE

784-500-500-2x40-500-500-784, Fashion-MNIST in fresh bits, Adam, batch 128, float32; {repeats}
interleaved repetitions, median (range) of the second epoch.

| | samples/s | ratio to {_BASE} | first step s | test ELBO after 2 epochs |
|---|---|---|---|---|
{table}

{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, vi
{vi.__version__} ({commit}), torch {torch.__version__}. `python benchmarks/training.py`
"""


if __name__ == "__main__":
    main()
