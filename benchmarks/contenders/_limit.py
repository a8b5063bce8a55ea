"""The limit: the matrix products of a step, each in the fastest of three ways, and little else.

Six linear layers (mean and log variance are one) make 6 products forwards, 6 for the gradients of
the weights and 5 for those of the inputs; nobody asks for the gradient of the data.
"""

import time
from collections.abc import Callable
from itertools import pairwise

import torch
from _common import BATCH, DIM, HIDDEN, LATENT, report, train_grey
from torch import Tensor, nn

from vi.fast.memory import keep_freed_memory

Product = Callable[[], Tensor]
_CALLS, _TURNS = 20, 5


class Layer:
    """The products of a linear layer, on random numbers."""

    def __init__(self, n_in: int, n_out: int) -> None:
        x, error = torch.randn(BATCH, n_in), torch.randn(BATCH, n_out)
        self.weight = nn.Parameter(torch.randn(n_out, n_in))
        self.others = [faster(x, self.weight.mT)]
        if n_in != DIM:
            self.others.append(faster(error, self.weight))
        self.of_weight = faster(error.mT, x, by_rows=True)  # as the weight is

    def step(self) -> int:
        """Compute them, keep the gradient of the weights; how many they are."""
        for product in self.others:
            product()
        self.weight.grad = self.of_weight()
        return len(self.others) + 1


def faster(a: Tensor, b: Tensor, *, by_rows: bool = False) -> Product:
    """Of MKL, or what else torch was built with, by rows or by columns, and oneDNN."""
    products: list[Product] = [lambda: torch.mm(a, b)]
    if not by_rows:
        products.append(lambda: torch.mm(b.mT, a.mT).mT)
    if torch.backends.mkldnn.is_available():
        one = torch.ops.mkldnn._linear_pointwise
        products.append(lambda: one(a, b.mT, None, "none", [], ""))
    return min(products, key=seconds)


def seconds(product: Product) -> float:
    """The best of a few turns."""
    times = []
    for _ in range(_TURNS):
        start = time.perf_counter()
        for _ in range(_CALLS):
            product()
        times.append(time.perf_counter() - start)
    return min(times)


def run(*, with_adam: bool) -> None:
    """Report how fast the products go, alone or with the step of the fused optimiser."""
    torch.manual_seed(0)
    torch.set_grad_enabled(False)
    keep_freed_memory()
    networks = (DIM, HIDDEN, HIDDEN, 2 * LATENT), (LATENT, HIDDEN, HIDDEN, DIM)
    layers = [Layer(*sizes) for widths in networks for sizes in pairwise(widths)]
    adam = torch.optim.Adam([layer.weight for layer in layers], lr=1e-3, fused=True)
    assert sum(layer.step() for layer in layers) == 17
    steps = len(train_grey()) // BATCH
    start = time.perf_counter()
    for _ in range(steps):
        for layer in layers:
            layer.step()
        if with_adam:
            adam.step()
    report("torch", samples_per_s=steps * BATCH / (time.perf_counter() - start))
