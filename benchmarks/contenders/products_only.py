"""The limit: the matrix products of a step and nothing else, each by the faster of two libraries.

Six linear layers (mean and log variance are one) make 6 products forwards, 6 for the gradients of
the weights and 5 for those of the inputs; nobody asks for the gradient of the data.
"""

import time
from collections.abc import Callable
from itertools import pairwise

import torch
from _common import BATCH, DIM, HIDDEN, LATENT, report, train_grey
from torch import Tensor

from vi.training.allocator import keep_freed_memory

Product = Callable[[], Tensor]
_CALLS, _TURNS = 20, 5


def products() -> list[tuple[Tensor, Tensor]]:
    """The pairs of factors, on random numbers."""
    pairs = []
    for widths in ((DIM, HIDDEN, HIDDEN, 2 * LATENT), (LATENT, HIDDEN, HIDDEN, DIM)):
        for n_in, n_out in pairwise(widths):
            x, weight, error = (
                torch.randn(*shape) for shape in ((BATCH, n_in), (n_out, n_in), (BATCH, n_out))
            )
            pairs += [(x, weight.mT), (error.mT, x)]
            if n_in != DIM:
                pairs.append((error, weight))
    return pairs


def by_mkl(a: Tensor, b: Tensor) -> Product:
    """Or what else torch was built with; into memory that is there already."""
    out = torch.mm(a, b)
    return lambda: torch.mm(a, b, out=out)


def by_onednn(a: Tensor, b: Tensor) -> Product:
    """As torch's linear layer calls it after compiling."""
    return lambda: torch.ops.mkldnn._linear_pointwise(a, b.mT, None, "none", [], "")


def seconds(product: Product) -> float:
    """The best of a few turns."""
    times = []
    for _ in range(_TURNS):
        start = time.perf_counter()
        for _ in range(_CALLS):
            product()
        times.append(time.perf_counter() - start)
    return min(times)


torch.manual_seed(0)
torch.set_grad_enabled(False)
keep_freed_memory()
libraries = [by_mkl] + [by_onednn] * torch.backends.mkldnn.is_available()
faster = [min((by(*pair) for by in libraries), key=seconds) for pair in products()]
assert len(faster) == 17
steps = len(train_grey()) // BATCH
start = time.perf_counter()
for _ in range(steps):
    for product in faster:
        product()
report("torch", samples_per_s=steps * BATCH / (time.perf_counter() - start))
