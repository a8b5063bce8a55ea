"""How fast the VAE of ``training.py`` trains on a GPU: ``python train.py trainer=gpu`` and others.

    python benchmarks/gpu.py                                   # 5 interleaved repetitions
    python benchmarks/gpu.py --repeats 1 --only vi_train,captured_loop
    python benchmarks/gpu.py --precision tf32                  # of everybody's matrix products
    python benchmarks/gpu.py --cpu                             # tiny, to see that it runs

The contenders: a JAX scan over resident bytes, a torch loop captured as a CUDA graph, Lightning as
its users write it, and vi; each at batch 128 and 4096, in a process of its own, in turns. All
epochs but the first are timed, until the device has nothing left to do. JAX would compute in TF32
and torch in float32 if nobody said otherwise; here both are told the same.

Fashion-MNIST is looked for under ``VI_DATA_DIR``, and ``vi_train`` needs what ``pip install -e .``
brings, Hydra for one. A contender whose packages are missing is left out by name, and ``--only``
picks some. ``BENCH_PYTHON_<CONTENDER>`` names another interpreter for one,
``BENCH_ARGS_VI_TRAIN`` gives ``train.py`` further options.
"""

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from shutil import which

import torch
import training
from _machine import foot

_HERE = Path(__file__).parent
_CONTENDERS = _HERE / "contenders"
_FILES = ("jax_scan.py", "gpu/captured_loop.py", "plain_lightning.py", "vi_train.py")
_BASES = ("jax_scan", "plain_lightning")
_OURS = "vi_train"
_PRECISIONS = {
    "float32": {
        "JAX_DEFAULT_MATMUL_PRECISION": "float32",
        "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "0",
    },
    "tf32": {
        "JAX_DEFAULT_MATMUL_PRECISION": "tensorfloat32",
        "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1",
    },
}

Results = dict[int, training.Results]  # by batch size


@dataclass(frozen=True)
class Task:
    """Where and how long to train, and how many times as fast as others we have to be."""

    device: str
    epochs: dict[int, int]  # by batch size
    batches: int | None  # of an epoch; None for all
    bars: dict[tuple[int, str], float]  # by batch size and contender


_BARS = {(128, "jax_scan"): 1.0, (4096, "jax_scan"): 1.0, (128, "plain_lightning"): 10.0}
_FULL = Task("gpu", {128: 11, 4096: 41}, None, _BARS)
_TINY = Task("cpu", {128: 2, 4096: 2}, 2, {})


def main() -> None:
    """Measure, print, and write ``results/gpu.md``, or ``gpu_tf32.md``."""
    options = _options()
    if not options.cpu and not torch.cuda.is_available():
        print("error: torch sees no GPU (--cpu runs all of this tiny, without)", file=sys.stderr)
        raise SystemExit(2)
    names = options.only.split(",")
    files = [_CONTENDERS / name for name in _FILES if Path(name).stem in names]
    task = _TINY if options.cpu else _FULL
    results = measure(files, task, options.repeats, options.precision)
    text = report(results, names, task, options)
    print(text)
    if not options.cpu and len(files) == len(_FILES):
        name = "gpu.md" if options.precision == "float32" else f"gpu_{options.precision}.md"
        (_HERE / "results" / name).write_text(text, encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Training speed of a small VAE on a GPU.")
    known = [Path(name).stem for name in _FILES]
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default=",".join(known), help="names of contenders, with commas")
    parser.add_argument("--precision", choices=_PRECISIONS, default="float32")
    parser.add_argument("--cpu", action="store_true", help="tiny, on the processor; not written")
    options = parser.parse_args()
    if unknown := set(options.only.split(",")) - set(known):
        parser.error(f"--only knows {', '.join(known)}, not {', '.join(sorted(unknown))}")
    return options


def measure(files: list[Path], task: Task, repeats: int, precision: str) -> Results:
    """The contenders take turns at every batch size."""
    results: Results = {batch: {} for batch in task.epochs}
    with tempfile.TemporaryDirectory() as folder:
        for batch in task.epochs:
            place = Path(folder, str(batch))
            place.mkdir()
            training.prepare(place, batch, task.batches)
        for _, batch, path in itertools.product(range(repeats), task.epochs, files):
            settings = environment(task, batch) | _PRECISIONS[precision]
            result = training.run(path, f"{folder}/{batch}", **settings)
            if result:
                results[batch].setdefault(path.stem, []).append(result)
    return results


def environment(task: Task, batch: int) -> dict[str, str]:
    """What a contender is told."""
    paths = [str(_CONTENDERS), os.environ.get("PYTHONPATH")]
    return {
        "BENCH_BATCH": str(batch),
        "BENCH_DEVICE": task.device,
        "BENCH_EPOCHS": str(task.epochs[batch]),
        "BENCH_SAMPLES": "0",
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }


def report(results: Results, names: list[str], task: Task, options: argparse.Namespace) -> str:
    """A table in Markdown, the fastest of each batch size first."""
    rows = [
        f"| {' | '.join(cells(column, name, batch, task))} |"
        for batch, column in results.items()
        for name in sorted(column, key=lambda name: -speed(column, name))
    ]
    return f"""# Training a small VAE on a GPU

784-500-500-2x40-500-500-784, Fashion-MNIST in fresh bits, Adam, products in {options.precision};
{options.repeats} interleaved repetitions, medians (range). Speed of all epochs but the first,
its ratios and the bars for `{_OURS}`; seconds from the start of the process to its first step; one
neutral test ELBO of the trained weights, the same for all within the noise of their seeds.

| batch | | samples/s |{"".join(f" / {base} |" for base in _BASES)} first step s | test ELBO |
|{"---|" * (len(_BASES) + 5)}
{chr(10).join(rows)}

{_left_out(results, names)}{"On the processor, to see that it runs" if options.cpu else _gpu()}.
{_foot(results)}"""


def cells(column: training.Results, name: str, batch: int, task: Task) -> list[str]:
    """A row."""
    speeds, elbos = ([run[key] for run in column[name]] for key in ("samples_per_s", "test_elbo"))
    first_step = training.median(column, name, "first_step_s")
    return [
        str(batch),
        " ".join([name, *training.arguments(name)]),
        f"{statistics.median(speeds):.0f} ({min(speeds):.0f}-{max(speeds):.0f})",
        *(ratio(column, name, base, task.bars.get((batch, base))) for base in _BASES),
        f"{first_step:.1f}",
        f"{statistics.median(elbos):.2f} ({min(elbos):.2f} to {max(elbos):.2f})",
    ]


def ratio(column: training.Results, name: str, base: str, bar: float | None) -> str:
    """Of two speeds, and whether ours passes its bar."""
    shown = training.ratio(column, name, base, "samples_per_s")
    if name != _OURS or bar is None:
        return shown
    if base not in column:
        return f"{shown} (>= {bar:g}: not measured)"
    passed = speed(column, name) >= bar * speed(column, base)
    return f"{shown} (>= {bar:g}: {'pass' if passed else 'fail'})"


def speed(column: training.Results, name: str) -> float:
    """The median."""
    return statistics.median(run["samples_per_s"] for run in column[name])


def _left_out(results: Results, names: list[str]) -> str:
    missing = [name for name in names if not any(name in column for column in results.values())]
    return f"Left out, as packages are missing: {', '.join(missing)}.\n" if missing else ""


def _gpu() -> str:
    smi = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    driver = "unknown"
    if which(smi[0]):
        told = subprocess.run(smi, capture_output=True, text=True, check=False).stdout
        driver = told.split("\n")[0]
    return f"{torch.cuda.get_device_name()}, driver {driver}, CUDA {torch.version.cuda}"


def _foot(results: Results) -> str:
    runs = [run for column in results.values() for each in column.values() for run in each]
    versions = {version for run in runs for version in run["versions"]}
    command = " ".join(["python benchmarks/gpu.py", *sys.argv[1:]])
    return foot(command, [run["others"] for run in runs], versions)


if __name__ == "__main__":
    main()
