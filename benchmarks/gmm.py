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
import os
import platform
import resource
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import sklearn
import torch
from sklearn.mixture import GaussianMixture

import vi
from vi.data.base import LoadedData, Values

_SHORT, _LONG = 1, 6  # iterations


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Exact EM of a GMM against scikit-learn.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=16)
    parser.add_argument("--components", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=16384)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_default_dtype(torch.float64)
    warnings.simplefilter("ignore")
    x, means = data(options.rows, options.dim, options.components)
    ours, theirs = [], []
    fit_ours(x[:1000], means, 1, options.batch_size)  # what importing costs is not memory of EM
    before = peak()
    fit_ours(x, means, 1, options.batch_size)
    growth = peak() - before
    for _ in range(options.repeats):
        theirs.append(per_iteration(lambda n: fit_theirs(x, means, n)))
        ours.append(per_iteration(lambda n: fit_ours(x, means, n, options.batch_size)))
    text = report(options, ours, theirs, growth, x.nbytes / 1e6)
    print(text)
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "gmm.md").write_text(text, encoding="utf-8")


def report(
    options: argparse.Namespace,
    ours: list[float],
    theirs: list[float],
    growth: float,
    size: float,
) -> str:
    """A table in Markdown."""
    a, b = statistics.median(ours), statistics.median(theirs)
    return f"""# Exact EM of a Gaussian mixture, seconds per iteration

{options.rows} rows, {options.dim} dimensions, {options.components} full covariances, float64,
{options.repeats} interleaved repetitions, median (range).

| | s | ratio |
|---|---|---|
| scikit-learn {sklearn.__version__} | {b:.3f} ({min(theirs):.3f}-{max(theirs):.3f}) | 1.00 |
| vi, batches of {options.batch_size} | {a:.3f} ({min(ours):.3f}-{max(ours):.3f}) | {b / a:.2f} |

Peak memory of `vi.fit` grew by {growth:.0f} MB beside data of {size:.0f} MB.
{platform.machine()}, {os.cpu_count()} cores, vi {vi.__version__}, torch {torch.__version__}.
`python benchmarks/gmm.py`
"""


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


def per_iteration(fit) -> float:  # noqa: ANN001, a function of the number of iterations
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


def peak() -> float:
    """Of the memory of this process, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == "__main__":
    main()
