"""Memory of ``vi.log_likelihood`` against the number of samples, each in a process of its own."""

import subprocess
import sys

import torch
from _timing import table
from contenders._memory import Growth
from sections import _vi

import vi

_IMAGES = 100


def section(*, quick: bool) -> str:
    """A table."""
    counts = [10, 100] if quick else [100, 1000, 10_000]
    rows = [f"{k} | {_in_own_process(k):.0f}" for k in counts]
    note = f"""Growth of the peak of resident memory in `vi.log_likelihood` of {_IMAGES} images
under the VAE 784-500-500-40, after a call on two images with two samples."""
    return table("Memory against K", "K | MB", rows, note)


def _in_own_process(num_samples: int) -> float:
    code = f"from sections.memory import growth; print(growth({num_samples}))"
    path = ["-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"]
    done = subprocess.run([sys.executable, *path], capture_output=True, text=True, check=True)
    return float(done.stdout)


def growth(num_samples: int) -> float:
    """In MB."""
    torch.manual_seed(0)
    model, x = _vi.perceptrons(784, 500, 40).eval(), torch.rand(_IMAGES, 784).round()
    vi.log_likelihood(model, x[:2], 2)
    with Growth() as grown:
        vi.log_likelihood(model, x, num_samples)
    return grown.mb
