"""How fast a small VAE trains: ``python train.py`` against what else one could run.

    python benchmarks/training.py                   # 5 interleaved repetitions
    python benchmarks/training.py --repeats 1 --only vi_train,plain_lightning

Every file in ``contenders/`` is one contender and one process: the same 784-500-500-2x40 network,
Fashion-MNIST binarised anew at every visit, Adam 1e-3, batch 128, float32. The processes take
turns; the second epoch is timed, and then the estimate of log p(x) with 5000 samples for 100 test
images. A neutral computation of the test ELBO from the trained weights shows that nobody computed
something else. ``gmm`` stands for exact EM of a mixture against scikit-learn.

A contender whose packages are missing is left out by name. ``BENCH_PYTHON_<CONTENDER>`` names
another interpreter for it, ``BENCH_ARGS_<CONTENDER>`` gives it arguments.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import gmm
import numpy as np
import torch
from _machine import Load, foot

import vi
from vi.data.binarize import fixed_bits

_HERE = Path(__file__).parent
_BATCH = int(os.environ.get("BENCH_BATCH", "128"))
_BASES = ("plain_lightning", "pythae_vae", "numpyro_scan")
_GMM = "gmm"

Results = dict[str, list[dict[str, Any]]]


def main() -> None:
    """Measure, print, and write ``results/training.md``."""
    parser = argparse.ArgumentParser(description="Training speed of a small VAE.")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="", help="names of contenders, with commas")
    options = parser.parse_args()
    files = sorted(p for p in (_HERE / "contenders").glob("*.py") if p.stem[0] != "_")
    names = options.only.split(",") if options.only else [*(p.stem for p in files), _GMM]
    results = measure([p for p in files if p.stem in names], options.repeats)
    text = report(results, options.repeats) if results else ""
    if _GMM in names:
        size = gmm.Size()
        text = f"{text}\n{gmm.report(size, gmm.measure(size, options.repeats))}"
    print(text)
    if not options.only:  # a part of the table does not replace the whole
        (_HERE / "results" / "training.md").write_text(text, encoding="utf-8")


def measure(files: list[Path], repeats: int) -> Results:
    """The contenders take turns."""
    results: Results = {}
    with tempfile.TemporaryDirectory() as folder:
        if files:
            prepare(Path(folder))
        for _ in range(repeats):
            for path in files:
                result = run(path, folder)
                if result:
                    results.setdefault(path.stem, []).append(result)
    return results


def prepare(folder: Path, batch: int = _BATCH, most: int | None = None) -> None:
    """Save the data for contenders that know no torch: bytes to train on, fixed bits to test.

    Args:
        folder: Where to.
        batch: Only whole batches are kept.
        most: Of them; None for all.
    """
    data = vi.data.FashionMNIST(binarize="none", validation_size=0).load()
    train = data.train.stored.flatten(1)
    batches = len(train) // batch if most is None else most
    np.save(folder / "train.npy", train[: batches * batch].numpy())
    bits = fixed_bits(data.test.stored.flatten(1), 255, torch.Generator().manual_seed(0))
    np.save(folder / "test.npy", bits.numpy())


def run(path: Path, folder: str, **settings: str) -> dict[str, Any] | None:
    """One process, with these variables in its environment; None if its packages are missing."""
    python = os.environ.get(f"BENCH_PYTHON_{path.stem.upper()}", sys.executable)
    command = [python, str(path), *arguments(path.stem)]
    env = os.environ | settings | {"BENCH_FOLDER": folder, "BENCH_STARTED": str(time.time())}
    with Load() as load:
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if lines:
        result = json.loads(lines[-1].removeprefix("RESULT "))
        speed = f"{result['samples_per_s']:.0f} samples/s, others {load.others:.1%}"
        print(f"{path.stem:20} {speed}", file=sys.stderr)
        return result | {"others": load.others}
    if "ModuleNotFoundError" in done.stderr:
        print(f"left out {path.stem}: {done.stderr.splitlines()[-1]}", file=sys.stderr)
        return None
    raise SystemExit(f"{path.stem} failed:\n{done.stderr[-2000:]}")


def arguments(name: str) -> list[str]:
    """What the environment gives to a contender."""
    return shlex.split(os.environ.get(f"BENCH_ARGS_{name.upper()}", ""))


def report(results: Results, repeats: int) -> str:
    """A table in Markdown, the fastest first."""
    order = sorted(results, key=lambda name: -median(results, name, "samples_per_s"))
    rows = "\n".join(f"| {' | '.join(cells(results, name))} |" for name in order)
    everything = [result for column in results.values() for result in column]
    versions = {version for result in everything for version in result["versions"]}
    loads = [result["others"] for result in everything]
    return f"""# Training a small VAE

784-500-500-2x40-500-500-784, Fashion-MNIST in fresh bits, Adam, batch {_BATCH}, float32; {repeats}
interleaved repetitions, medians (range). Speed of the second epoch and its ratio to three others;
seconds from the start of the process to its first step; IWAE-5000 of 100 test images after
training, growth of the process's memory meanwhile; one neutral test ELBO of the trained weights.
`products_only` and `products_and_adam` are limits: the matrix products of a step on random numbers
without and with the optimiser, and nothing else. `by_hand` is what is left when every derivative
of this one model is written out: torch's kernels, no autograd, nothing that could be exchanged.

| | samples/s |{"".join(f" / {base} |" for base in _BASES)} first step s | / {_BASES[0]} \
| IWAE-5000 s | MB | nats | test ELBO |
|{"---|" * (len(_BASES) + 8)}
{rows}

{foot("python benchmarks/training.py", loads, versions)}"""


def cells(results: Results, name: str) -> list[str]:
    """A row."""
    speeds = [result["samples_per_s"] for result in results[name]]

    def show(key: str, digits: int) -> str:
        value = median(results, name, key)
        return "-" if value is None else f"{value:.{digits}f}"

    return [
        " ".join([name, *arguments(name)]),
        f"{statistics.median(speeds):.0f} ({min(speeds):.0f}-{max(speeds):.0f})",
        *(ratio(results, name, base, "samples_per_s") for base in _BASES),
        show("first_step_s", 1),
        ratio(results, name, _BASES[0], "first_step_s"),
        show("iwae_s", 2),
        show("iwae_mb", 0),
        show("iwae", 2),
        show("test_elbo", 2),
    ]


def ratio(results: Results, name: str, base: str, key: str) -> str:
    """Of two medians."""
    above, below = median(results, name, key), median(results, base, key)
    return "-" if above is None or below is None else f"{above / below:.2f}"


def median(results: Results, name: str, key: str) -> float | None:
    """None where a contender does not tell, or did not run."""
    values = [result[key] for result in results.get(name, []) if key in result]
    return statistics.median(values) if values else None


if __name__ == "__main__":
    main()
