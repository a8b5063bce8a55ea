"""What knowing how far to trust log p(x) costs, in time and memory.

    python benchmarks/log_likelihood.py          # some minutes on one core
    python benchmarks/log_likelihood.py --quick  # tiny, and not written

Times IWAE-5000 of a VAE 784-500-500-40 with and without k and the rule, in turns, and measures
those alone. The memory of 500 images is measured in a process of its own.
"""

import argparse
import math
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from _machine import Load, foot
from _timing import interleaved, table
from torch import Tensor

import vi
from vi.evaluation import log_likelihood as sampling
from vi.evaluation.log_weights import Estimates, LogWeights
from vi.evaluation.reliability import reliable

_clock = time.process_time  # of this one thread, which other processes slow down less
_RESULT = Path(__file__).parent / "results" / "log_likelihood.md"


class Sums:
    """The value, the standard error and the effective sample size, and nothing else."""

    def __init__(self, num_samples: int) -> None:
        del num_samples
        self.drawn, self.sums = 0, ()

    def add(self, log_joint: Tensor, log_q: Tensor) -> None:
        """Take in a block."""
        log_w = (log_joint - log_q).double()
        self.drawn += len(log_w)
        block = log_w.logsumexp(0), (2 * log_w).logsumexp(0)
        old = self.sums
        self.sums = (
            tuple(a.logaddexp(b) for a, b in zip(old, block, strict=True)) if old else block
        )

    def estimates(self, num_samples: int) -> Estimates:
        """Without k."""
        del num_samples
        ess = (2 * self.sums[0] - self.sums[1]).exp()
        error = (1 / ess - 1 / self.drawn).clamp_min(0).sqrt()
        return Estimates(self.sums[0] - math.log(self.drawn), error, ess, torch.zeros_like(ess))


@contextmanager
def without_k() -> Iterator[None]:
    """Within this block nothing but sums is kept, and nothing judged."""
    kept, rule = sampling.LogWeights, sampling.reliable
    sampling.LogWeights, sampling.reliable = Sums, lambda k, _: k == 0
    try:
        yield
    finally:
        sampling.LogWeights, sampling.reliable = kept, rule


def model_and_images(n: int) -> tuple[vi.VAE, Tensor]:
    """A VAE of MNIST's size with random weights, and so many binary images."""
    torch.manual_seed(0)
    parts = vi.MLP([500, 500]), vi.MLP([500, 500]), vi.DiagonalGaussian(40), vi.StandardNormal(40)
    model = vi.VAE((1, 28, 28), *parts, vi.Bernoulli()).eval()
    return model, (torch.rand(n, 1, 28, 28) < 0.3).float()


def times(n: int, num_samples: int, turns: int) -> list[str]:
    """Rows of the table."""
    model, x = model_and_images(n)

    def plain() -> None:
        with without_k():
            sampling.log_likelihood(model, x, num_samples)

    log_joint = torch.randn(num_samples, n) - 100
    log_q = torch.zeros_like(log_joint)

    def weigh(keeper: type) -> Tensor:
        seen = keeper(num_samples)
        for a, b in zip(log_joint.split(128), log_q.split(128), strict=True):
            seen.add(a, b)
        return seen.estimates(num_samples).pareto_k

    whole, sums = interleaved(
        lambda: sampling.log_likelihood(model, x, num_samples), plain, turns=turns, clock=_clock
    )
    rule = lambda: reliable(weigh(LogWeights), num_samples)
    kept, kept_sums = interleaved(rule, lambda: weigh(Sums), turns=turns, clock=_clock)
    alone = kept - kept_sums
    name = f"{n} images, K = {num_samples}"
    return [
        f"log p(x) of {name}, with k and the rule | {1000 * whole:.1f} | {whole / sums:.3f}",
        f"without | {1000 * sums:.1f} | 1",
        f"k and the rule alone | {1000 * alone:.2f} | {alone / sums:.4f}",
    ]


def growth(n: int, num_samples: int) -> float:
    """MiB by which the memory of this process is larger at most than before."""
    model, x = model_and_images(n)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of the imports
    before = _peak()
    vi.log_likelihood(model, x, num_samples)
    return _peak() - before


def _peak() -> float:
    """The largest memory of this process so far, in MiB."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else math.nan


def main() -> None:
    """Measure, print, and write the result."""
    parser = argparse.ArgumentParser(description="What the reliability of log p(x) costs.")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--grow", nargs=2, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.grow:
        print(growth(*options.grow))
        return
    few = options.quick
    with Load() as load:
        rows = times(2 if few else 16, 500 if few else 5000, 3 if few else 15)
    sizes = ["2", "500"] if few else ["500", "5000"]
    command = [sys.executable, __file__, "--grow", *sizes]
    grown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows.append(f"memory of {sizes[0]} images, K = {sizes[1]} | {float(grown):.0f} MiB more | ")
    note = "Processor time, medians over turns; the ratio is that to the sums alone."
    text = table("Knowing how far to trust log p(x)", "what | ms | ratio", rows, note)
    text += "\n" + foot("python benchmarks/log_likelihood.py", [load.others])
    print(text)
    if not few:
        _RESULT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
