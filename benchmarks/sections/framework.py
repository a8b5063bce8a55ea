"""What a step costs above a bare loop, on a model with one parameter."""

import contextlib
import io
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from _timing import StepsOfVi, table
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

import vi
from vi.data.base import LoadedData, Values
from vi.schemes.joint import Joint

_BATCH = 128
_NOTE = """p(x|z) = N(x; theta, 1), whatever z, with q(z|x) = p(z) = N(0, 1): microseconds per
optimiser step, medians of interleaved runs. `vi.fit` on batches of 128 numbers, fused Adam. Both
loops take the same batches and optimiser. The first one calls `vi.ELBO`, so that the difference is
what the trainer costs; the second one has the bound written out in tensors, so that the difference
holds the distributions of torch too."""


class OneParameter(vi.LatentVariableModel):
    """x ~ N(theta, 1); z has nothing to say."""

    data_shape = (1,)
    zero: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(1))
        self.register_buffer("zero", torch.zeros(1))

    def prior(self, **given: Tensor) -> Distribution:
        """N(0, 1)."""
        return _normal(self.zero)

    def likelihood(self, z: Tensor, **given: Tensor) -> Distribution:
        """N(theta, 1)."""
        return _normal(self.theta.expand(z.shape))

    def posterior(self, x: Tensor, **given: Tensor) -> Distribution:
        """N(0, 1)."""
        return _normal(self.zero.expand(x.shape))


def _normal(loc: Tensor) -> Distribution:
    return Independent(Normal(loc, 1.0, validate_args=False), 1)


def section(*, quick: bool) -> str:
    """A table."""
    steps, repeats = (200, 1) if quick else (4000, 5)
    ways = {
        "`vi.fit`, default settings": lambda x: _fitted(x),
        "`vi.fit`, no bar, no callbacks": lambda x: _fitted(x, progress_bar=False, callbacks=[]),
        "bare loop, `vi.ELBO`": lambda x: _looped(x, _bound),
        "bare loop, tensors": lambda x: _looped(x, _written_out),
    }
    times = _measure(ways, torch.randn(steps * _BATCH, 1), repeats)
    *_, bound, tensors = times.values()
    rows = [f"{k} | {t:.0f} | {t - bound:.0f} | {t - tensors:.0f}" for k, t in times.items()]
    head = "one step | µs | above the loop with `vi.ELBO` | above the loop with tensors"
    return table("What the framework costs", head, rows, _NOTE)


def _measure(
    ways: dict[str, Callable[[Tensor], float]], x: Tensor, repeats: int
) -> dict[str, float]:
    runs = [{name: way(x) for name, way in ways.items()} for _ in range(repeats)]
    return {name: 1e6 * statistics.median(run[name] for run in runs) for name in ways}


def _fitted(x: Tensor, **settings: Any) -> float:
    """Seconds per step."""
    data = LoadedData(Values(x), None, Values(x[:1000]), (1,))
    quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    with quiet[0], quiet[1], warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")  # the model has no name to be saved by
        with StepsOfVi() as steps:
            vi.fit(
                OneParameter(),
                data,
                epochs=1,
                run_dir=folder,
                evaluation=vi.ImportanceSampling(1),
                batch_size=_BATCH,
                device="cpu",
                **settings,
            )
    return steps.seconds


def _looped(x: Tensor, loss: Callable[[OneParameter, Tensor], Tensor]) -> float:
    """Seconds per step, in one thread as a step so small has in ``vi.fit``.

    Without the variable by which Lightning makes every step of Adam look for a driver.
    """
    os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
    model, threads = OneParameter(), torch.get_num_threads()
    (optimizer,), _ = Joint().configure(model, vi.ELBO())
    blocks = torch.randperm(len(x)).split(_BATCH)
    torch.set_num_threads(1)
    start = time.perf_counter()
    for index in blocks:
        optimizer.zero_grad()
        loss(model, x[index]).backward()
        optimizer.step()
    seconds = time.perf_counter() - start
    torch.set_num_threads(threads)
    return seconds / len(blocks)


_ELBO = vi.ELBO()


def _bound(model: OneParameter, x: Tensor) -> Tensor:
    return -_ELBO(model, x).surrogate.mean()


def _written_out(model: OneParameter, x: Tensor) -> Tensor:
    """Minus the mean of log N(x; theta, 1); the KL is 0."""
    return 0.5 * (x - model.theta).square().mean() + 0.9189385332
