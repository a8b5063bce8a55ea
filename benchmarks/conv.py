"""How fast convolutional VAEs train: ``vi.fit`` against the same model in plain Lightning.

    python benchmarks/conv.py                       # 5 interleaved repetitions, all cores
    python benchmarks/conv.py --threads 1 --repeats 3 --sides 28

Pictures of 28 x 28 and 64 x 64, two convolutions on both sides, batch 128. All runs of one size
take turns in one process; medians of optimiser steps a second.
"""

import argparse
import statistics
from collections.abc import Callable

import torch
from _machine import Load, foot
from _timing import Steps, StepsOfVi, table
from sections import _plain, _vi

import vi

_LATENT, _BATCH = 40, 128
_NOTE = """Optimiser steps a second, medians (range) of interleaved runs in one process, timed from
step to step inside the one epoch of a run, without its first two."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Training speed of convolutional VAEs.")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--sides", default="28,64")
    parser.add_argument("--bf16", action="store_true", help="also in bf16, where that is a gain")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with Load() as load:
        sides = map(int, options.sides.split(","))
        rows = [row for side in sides for row in _rows(side, options)]
    print(table("Convolutions", "pictures | way | steps/s | / Lightning", rows, _NOTE))
    print(foot("python benchmarks/conv.py", [load.others]))


def _rows(side: int, options: argparse.Namespace) -> list[str]:
    grey = _vi.pictures(options.steps * _BATCH, 1, side, side)

    def ours(precision: str) -> None:
        model = _vi.convolutions(side, _LATENT)
        _vi.fit(model, grey, _BATCH, threads=options.threads, precision=precision)

    ways: dict[str, tuple[type[Steps], Callable[[], None]]] = {
        "vi": (StepsOfVi, lambda: ours("float32")),
        "vi, bf16": (StepsOfVi, lambda: ours("bf16")),
        "Lightning": (
            Steps,
            lambda: _plain.fit_plain(_plain.convolutions(side, _LATENT), grey, _BATCH),
        ),
    }
    if not options.bf16:
        del ways["vi, bf16"]
    speeds: dict[str, list[float]] = {}
    for _ in range(options.repeats):
        for name, (steps, fit) in ways.items():
            try:
                with steps() as watch:
                    fit()
            except vi.ConfigurationError:
                continue
            speeds.setdefault(name, []).append(1 / watch.seconds)
    base = statistics.median(speeds["Lightning"])
    return [
        f"{side} x {side} | {name} | {statistics.median(s):.2f} ({min(s):.2f}-{max(s):.2f}) | "
        f"{statistics.median(s) / base:.2f}"
        for name, s in speeds.items()
    ]


if __name__ == "__main__":
    main()
