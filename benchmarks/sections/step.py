"""Where the time of one training step goes, beside the limit of its matrix products."""

import statistics
import time
from functools import partial

import torch
from _timing import interleaved, table
from sections import _vi
from torch import Tensor, nn

import vi
from vi.data.base import DynamicBits
from vi.distributions.draw import draw
from vi.distributions.kl import closed_form_kl
from vi.fast import session
from vi.fast.linear import _product
from vi.fast.memory import keep_freed_memory
from vi.schemes.gradient import FUSED_ADAM

_B, _D, _H, _Z = 128, 784, 500, 40
_NOTE = f"""A VAE {_D}-{_H}-{_H}-2x{_Z}-{_H}-{_H}-{_D}, batch {_B}, the parts of a step one after
the other as `vi.ELBO` and `vi.Joint` do them; microseconds, medians. The limit is the time of the
matrix products of a part alone, each in the fastest of three ways, its factors in the cache."""


def section(*, quick: bool) -> str:
    """A table."""
    torch.manual_seed(0)
    keep_freed_memory()
    model = _vi.perceptrons(_D, _H, _Z)
    split = DynamicBits(_vi.pictures(60_000, _D))
    optimizer = FUSED_ADAM(model.parameters())
    turns = 20 if quick else 600
    with session(None, model):
        clocks = [_step(model, split, optimizer) for _ in range(turns)][turns // 4 :]
    parts = {name: 1e6 * statistics.median(c[name] for c in clocks) for name in clocks[0]}
    forwards, backwards = zip(_limit(model.encoder), _limit(model.decoder), strict=True)
    limits = {"encoder": forwards[0], "decoder": forwards[1], "backward": sum(backwards)}
    parts["whole"], limits["whole"] = sum(parts.values()), sum(limits.values())
    rows = [
        f"{name} | {t:.0f} | {t / parts['whole']:.0%} | "
        + (f"{1e6 * limits[name]:.0f}" if name in limits else "")
        for name, t in parts.items()
    ]
    return table("Where a step goes", "part | µs | share | limit of its products", rows, _NOTE)


class _Clock(dict[str, float]):
    """Seconds by name; each lasts from the one before."""

    def __init__(self) -> None:
        super().__init__()
        self.last = time.perf_counter()

    def __call__(self, name: str) -> None:
        now = time.perf_counter()
        self[name], self.last = now - self.last, now


def _step(model: vi.VAE, split: DynamicBits, optimizer: torch.optim.Optimizer) -> _Clock:
    index = torch.randint(0, len(split), (_B,))
    clock = _Clock()
    x = split.batch(index).x
    clock("rows and bits")
    parameters = model.inference.parameters_of(model, x)
    clock("encoder")
    q = model.inference.at(model, parameters)
    at = draw(q, 1)
    clock("q(z\\|x) and a draw")
    logits = model.decoder(at.z)
    clock("decoder")
    reconstruction = at.mean(model.likelihood_head(logits).log_prob(x))
    clock("log p(x\\|z)")
    loss = (closed_form_kl(q, model.prior()) - reconstruction).mean()
    clock("KL and mean")
    optimizer.zero_grad()
    loss.backward()
    clock("backward")
    optimizer.step()
    clock("Adam")
    return clock


def _limit(network: nn.Module) -> tuple[float, float]:
    """Seconds of the products of a network, forwards and backwards."""
    forwards, backwards = 0.0, 0.0
    for layer in network.modules():
        if not isinstance(layer, nn.Linear):
            continue
        x, of_y = torch.randn(_B, layer.in_features), torch.randn(_B, layer.out_features)
        weight: Tensor = layer.weight.detach()
        forwards += _shortest(x, weight)
        backwards += _shortest(of_y.t(), x.t())
        if layer.in_features != _D:  # nobody asks for the gradient of the data
            backwards += _shortest(of_y, weight.t())
    return forwards, backwards


def _shortest(a: Tensor, b: Tensor) -> float:
    """Seconds of a b' in the fastest of three ways."""
    ways = ({"by_onednn": False}, {"by_onednn": True}, {"by_onednn": False, "columns": True})
    with torch.no_grad():
        return min(interleaved(*(partial(_product, a, b, **way) for way in ways), turns=3))
