"""Exact EM of a Gaussian mixture against scikit-learn, per iteration.

    python benchmarks/gmm.py                    # 1 000 000 rows, 16 dimensions, 16 components
    python benchmarks/gmm.py --rows 100000 --repeats 1

Both start from the same parameters and compute in double precision. An iteration costs the
difference of a long and a short fit, so that starting up counts for nobody; ours goes through
``vi.fit``. The two take turns, and the medians are compared.
"""

import argparse
import contextlib
import io
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sklearn
import torch
from _machine import Load, foot
from contenders._memory import Growth
from sklearn.mixture import GaussianMixture

import vi
from vi.data.base import LoadedData, Values

_SHORT, _LONG = 1, 6  # iterations


@dataclass(frozen=True)
class Size:
    """Of the task."""

    rows: int = 1_000_000
    dim: int = 16
    components: int = 16
    batch_size: int = 16384


@dataclass(frozen=True)
class Measured:
    """Seconds per iteration, megabytes, and the part of the cores that others used."""

    ours: list[float]
    theirs: list[float]
    growth: float
    data: float
    others: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Exact EM of a GMM against scikit-learn.")
    parser.add_argument("--rows", type=int, default=Size.rows)
    parser.add_argument("--dim", type=int, default=Size.dim)
    parser.add_argument("--components", type=int, default=Size.components)
    parser.add_argument("--batch-size", type=int, default=Size.batch_size)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = vars(parser.parse_args())
    repeats, size = chosen.pop("repeats"), Size(**chosen)
    text = report(size, measure(size, repeats))
    print(text)
    if size == Size():
        (Path(__file__).parent / "results" / "gmm.md").write_text(text, encoding="utf-8")


def measure(size: Size, repeats: int) -> Measured:
    """The two take turns."""
    ours, theirs = [], []
    with double_precision(), warnings.catch_warnings(), Load() as load:
        warnings.simplefilter("ignore")
        x, means = data(size.rows, size.dim, size.components)
        fit_ours(x[:1000], means, 1, size.batch_size)  # what importing costs is not memory of EM
        with Growth() as growth:
            fit_ours(x, means, 1, size.batch_size)
        for _ in range(repeats):
            theirs.append(per_iteration(lambda n: fit_theirs(x, means, n)))
            ours.append(per_iteration(lambda n: fit_ours(x, means, n, size.batch_size)))
    return Measured(ours, theirs, growth.mb, x.nbytes / 1e6, load.others)


@contextlib.contextmanager
def double_precision() -> Iterator[None]:
    """Within this block."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def report(size: Size, measured: Measured) -> str:
    """A table in Markdown."""
    ours, theirs = measured.ours, measured.theirs
    a, b = statistics.median(ours), statistics.median(theirs)
    return f"""# Exact EM of a Gaussian mixture, seconds per iteration

{size.rows} rows, {size.dim} dimensions, {size.components} full covariances, float64,
{len(ours)} interleaved repetitions, median (range).

| | s | ratio |
|---|---|---|
| scikit-learn {sklearn.__version__} | {b:.3f} ({min(theirs):.3f}-{max(theirs):.3f}) | 1.00 |
| vi, batches of {size.batch_size} | {a:.3f} ({min(ours):.3f}-{max(ours):.3f}) | {b / a:.2f} |

Peak memory of `vi.fit` grew by {measured.growth:.0f} MB beside data of {measured.data:.0f} MB.

{foot("python benchmarks/gmm.py", [measured.others])}"""


def data(rows: int, dim: int, components: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows from a mixture with full covariances, and means near the true ones to start from."""
    rng = np.random.default_rng(0)
    means = 3 * rng.normal(size=(components, dim))
    factors = rng.normal(size=(components, dim, dim)) / np.sqrt(dim)
    which = rng.integers(components, size=rows)
    x = np.empty((rows, dim))
    for c in range(components):
        mine = which == c
        x[mine] = means[c] + rng.normal(size=(mine.sum(), dim)) @ factors[c]
    return x, means + 0.3 * rng.normal(size=means.shape)


def per_iteration(fit: Callable[[int], None]) -> float:
    """Seconds."""
    times = []
    for iterations in (_SHORT, _LONG):
        start = time.perf_counter()
        fit(iterations)
        times.append(time.perf_counter() - start)
    return (times[1] - times[0]) / (_LONG - _SHORT)


def fit_theirs(x: np.ndarray, means: np.ndarray, iterations: int) -> None:
    """From unit covariances and equal weights."""
    c, d = means.shape
    GaussianMixture(
        c,
        max_iter=iterations,
        tol=0.0,
        reg_covar=0.0,
        means_init=means,
        weights_init=np.full(c, 1 / c),
        precisions_init=np.repeat(np.eye(d)[None], c, 0),
        init_params="random",  # overruled by the values above, yet it has to be sound,
    ).fit(x)


def fit_ours(x: np.ndarray, means: np.ndarray, iterations: int, batch_size: int) -> None:
    """The same, through the trainer."""
    model = vi.GMM((x.shape[1],), len(means), vi.Full())
    model.initialize = lambda x: model.loc.data.copy_(torch.from_numpy(means))
    rows = torch.from_numpy(x)
    loaded = LoadedData(Values(rows), None, Values(rows[:100]), (x.shape[1],))
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        vi.fit(
            model,
            loaded,
            scheme=vi.ExactEM(tolerance=0.0),
            epochs=iterations,
            run_dir=folder,
            callbacks=[],
            loggers=[],
            evaluation=vi.ImportanceSampling(10),
            batch_size=batch_size,
            progress_bar=False,
        )


if __name__ == "__main__":
    main()
