"""Common parts of all laws: precision, seed, small models, files."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import vi
from vi.bounds.base import Bound
from vi.files.model_files import load, save
from vi.models.base import LatentVariableModel
from vi.models.vae import VAE

D, Z = 6, 2  # dimensions of x and z
_STEPS, _RATE = 100, 0.02  # steps of Adam that must raise the bound, and their rate


class Laws:
    """Tests that pytest collects in a class derived from one of the laws.

    They run in double precision, from seed 0.
    """

    def setup_method(self, method: object = None) -> None:
        """Set precision and seed before each law."""
        del method  # which pytest gives
        self._before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        torch.manual_seed(0)

    def teardown_method(self, method: object = None) -> None:
        """Restore the precision after each law."""
        del method
        torch.set_default_dtype(self._before)


def vae(**parts: Any) -> VAE:
    """Return a small VAE of real data (6,), with these parts in place of the default ones."""
    parts = {
        "data_shape": (D,),
        "encoder": vi.MLP([5], nn.Tanh()),
        "decoder": vi.MLP([5], nn.Tanh()),
        "posterior": vi.DiagonalGaussian(Z),
        "prior": vi.StandardNormal(Z),
        "likelihood": vi.SharedScaleGaussian(scale=0.7),
    } | parts
    if parts.get("inference") is not None:
        del parts["encoder"], parts["posterior"]
    return VAE(**parts)


def data(n: int = 60, d: int = D) -> Tensor:
    """Return real data (n, d) near a plane."""
    return torch.randn(n, Z) @ torch.randn(Z, d) + 0.3 * torch.randn(n, d)


def plugins_of(part: object) -> list[str]:
    """Return the package of a part as a list, empty if it is vi itself."""
    package = type(part).__module__.partition(".")[0]
    return [package] if package != "vi" else []


@torch.no_grad()
def level(bound: Bound, model: LatentVariableModel, x: Tensor, repeats: int = 50) -> float:
    """Return the mean of a bound over data and draws in nats, from a fixed seed."""
    with torch.random.fork_rng([]):
        torch.manual_seed(7)
        return float(torch.stack([bound(model, x).value.mean() for _ in range(repeats)]).mean())


def check_rises(model: LatentVariableModel, bound: Bound, x: Tensor) -> None:
    """Require that 100 steps of Adam raise the bound by 0.05 nats and leave finite weights."""
    before = level(bound, model, x)
    parameters = [*model.parameters(), *bound.parameters()]
    adam = torch.optim.Adam(parameters, lr=_RATE)
    for _ in range(_STEPS):
        adam.zero_grad()
        (-bound(model, x).surrogate.mean()).backward()
        adam.step()
    after = level(bound, model, x)
    assert after > before + 0.05, f"{_STEPS} steps moved the bound from {before} to {after}"
    assert all(p.isfinite().all() for p in parameters)


def check_saved(model: LatentVariableModel, part: object, folder: Path) -> None:
    """Require that a model with this part is saved by option names and loaded to the bit."""
    plugins = plugins_of(part)
    loaded = load(save(model, folder / "model", plugins=plugins), plugins=plugins)
    states = zip(model.state_dict().items(), loaded.state_dict().items(), strict=True)
    for (name, ours), (other, theirs) in states:
        assert name == other
        assert torch.equal(ours, theirs), name
