"""What every contender shares: the data, the clock, and one neutral test ELBO. numpy only."""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
from _memory import Growth

DIM, HIDDEN, LATENT, RATE = 784, 500, 40, 1e-3
BATCH = int(os.environ.get("BENCH_BATCH", "128"))
EPOCHS = int(os.environ.get("BENCH_EPOCHS", "2"))  # all but the first are timed
DEVICE = os.environ.get("BENCH_DEVICE", "cpu")  # or gpu
SAMPLES = int(os.environ.get("BENCH_SAMPLES", "5000"))  # of z for each image's log p(x), or none
_IMAGES, _FEW = 100, 3
FOLDER = Path(os.environ["BENCH_FOLDER"])
STARTED = float(os.environ["BENCH_STARTED"])


def train_grey() -> np.ndarray:
    """Bytes (N, 784), N a multiple of the batch size."""
    return np.load(FOLDER / "train.npy")


def test_bits() -> np.ndarray:
    """Fixed bits (10 000, 784)."""
    return np.load(FOLDER / "test.npy").astype(np.float32)


class Stopwatch:
    """Seconds from the start of the process to the first step, and samples a second after it."""

    def __init__(self, steps_per_epoch: int) -> None:
        self.steps_per_epoch = steps_per_epoch
        self.ends: list[float] = []
        self.steps = 0

    def step(self) -> None:
        """Told after every optimiser step."""
        self.reached(self.steps + 1)

    def reached(self, steps: int) -> None:
        """Told how many steps were taken so far; not every number, but the end of every epoch."""
        self.steps = steps
        if not self.ends or steps % self.steps_per_epoch == 0:
            self.epoch()

    def epoch(self) -> None:
        """Told after compiling and after every epoch by those who see no single steps."""
        _wait_for_device()
        self.ends.append(time.time())

    def numbers(self) -> dict[str, float]:
        """The first epoch is not timed."""
        first, start, *others = self.ends
        samples = len(others) * self.steps_per_epoch * BATCH
        return {"first_step_s": first - STARTED, "samples_per_s": samples / (others[-1] - start)}


def _wait_for_device() -> None:
    """Until torch's work on the GPU is done; JAX's contenders wait for their results."""
    if DEVICE == "gpu" and "torch" in sys.modules:
        sys.modules["torch"].cuda.synchronize()


def report(*packages: str, **numbers: float) -> None:
    """Print one line of JSON: the numbers, and the versions of these packages."""
    versions = [f"{name} {_version(name)}" for name in packages]
    print("RESULT " + json.dumps(numbers | {"versions": versions}), flush=True)


def _version(package: str) -> str:
    return getattr(sys.modules.get(package), "__version__", None) or version(package)


def finish(
    watch: Stopwatch,
    weights: Sequence[tuple[np.ndarray, np.ndarray]],
    estimate: Callable[[np.ndarray], float],
    *packages: str,
) -> None:
    """Measure what was trained, and print it.

    Args:
        watch: Saw the training.
        weights: For ``test_elbo``.
        estimate: Bits (n, 784) -> the mean over them of log (1/K) sum_k p(x, z_k) / q(z_k|x).
        packages: Whose versions matter.
    """
    estimated = evaluation(estimate) if SAMPLES else {}
    report(*packages, **watch.numbers(), **estimated, test_elbo=test_elbo(weights))


def evaluation(estimate: Callable[[np.ndarray], float]) -> dict[str, float]:
    """Seconds for the first 100 test images, after a call on a few; memory of both calls."""
    x = test_bits()[:_IMAGES]
    with Growth() as growth:
        estimate(x[:_FEW])
        start = time.perf_counter()
        value = estimate(x)
        seconds = time.perf_counter() - start
    return {"iwae_s": seconds, "iwae_mb": growth.mb, "iwae": float(value)}


def test_elbo(weights: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    """The test ELBO in nats, one draw a datum, the KL in closed form.

    Args:
        weights: (weight (out, in), bias) of encoder 1, encoder 2, mean, log variance, decoder 1,
            decoder 2 and logits.
    """
    one, two, mean, log_variance, three, four, last = weights
    rng, total, x = np.random.default_rng(1), 0.0, test_bits()
    for bits in np.split(x, 10):
        h = _relu(_relu(bits, one), two)
        mu, lv = _affine(h, mean), _affine(h, log_variance)
        z = mu + np.exp(0.5 * lv) * rng.standard_normal(mu.shape, dtype=np.float32)
        logits = _affine(_relu(_relu(z, three), four), last)
        reconstruction = (bits * logits - np.logaddexp(0, logits)).sum(1)
        kl = 0.5 * (np.exp(lv) + mu**2 - 1 - lv).sum(1)
        total += float((reconstruction - kl).sum())
    return total / len(x)


def _affine(x: np.ndarray, layer: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return x @ layer[0].T + layer[1]


def _relu(x: np.ndarray, layer: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return np.maximum(_affine(x, layer), 0)
