"""Check that a precision is really used and really faster, by its errors and by timing."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vi.errors import ConfigurationError
from vi.fast import linear
from vi.fast.linear import Kernels, mm_of_bf16
from vi.fast.plans import SMALL, memory
from vi.fast.precision import computing_in, tensor_cores
from vi.fast.settled import settled
from vi.fast.swapped import in_class, swaps
from vi.models.base import LatentVariableModel

Multiply = Callable[[Tensor, Tensor], Tensor]

_ERRORS = 1e-4, 1e-2  # bounds of the relative error of a product of rounded factors
_BY = "precision/rounded_by"
_WORTH = 1.25  # required speedup over a step in single precision
_SIZE = (256, 256, 256)


@runtime_checkable
class Trial(Protocol):
    """An optimiser step on copies of the parts, which can be repeated at will."""

    @property
    def model(self) -> LatentVariableModel:
        """The copy of the model."""
        ...

    @property
    def step(self) -> Callable[[], object]:
        """Takes the step."""
        ...


class Timed(NamedTuple):
    """The step by which precisions are timed.

    Args:
        trial: Makes a new trial.
        batch_size: Number of data in a step.
        kind: What its time depends on beside the sizes and the networks of the model.
    """

    trial: Callable[[], Trial]
    batch_size: int
    kind: str


class Way(NamedTuple):
    """A way to round the factors of products: by oneDNN as it reads them, or by autocast."""

    multiply: Multiply
    by_onednn: bool


def _by_autocast(a: Tensor, b: Tensor) -> Tensor:
    """Return a b, rounded by autocast to bf16."""
    with torch.autocast(a.device.type, torch.bfloat16):
        return torch.mm(a, b)


def _by_tensor_cores(a: Tensor, b: Tensor) -> Tensor:
    """Return a b, with TF32 allowed."""
    with tensor_cores():
        return torch.mm(a, b)


_WAYS = {
    "autocast": Way(_by_autocast, by_onednn=False),
    "onednn": Way(mm_of_bf16, by_onednn=True),
}


@contextmanager
def rounding(
    precision: str,
    model: LatentVariableModel,
    kernels: Kernels,
    device: torch.device,
    timed: Timed,
    *,
    choose: bool = True,
) -> Iterator[dict[str, Any]]:
    """Compute the networks of a model in a precision inside the ``with`` block.

    On a processor there are two ways to bf16: autocast, and oneDNN if its products have the error
    of bf16 factors. The way with the shorter optimiser step is used, and it must be at least 1.25
    times as fast as float32.

    Args:
        precision: One of float32, tf32 and bf16.
        model: The model whose networks are affected.
        kernels: The kernels of their linear layers.
        device: Where they will compute.
        timed: The step to time.
        choose: Whether to measure; otherwise the choice of another process of the run, or of a
            checkpoint, is used.

    Yields:
        What was found, for ``metrics.json``.

    Raises:
        ConfigurationError: The device does not round, or bf16 is less than 1.25 times as fast as
            float32.
    """
    if precision == "tf32":
        _require_tensor_cores(device)
    facts: dict[str, Any] = {"precision": precision}
    if precision == "bf16":
        facts |= _chosen(timed, model, kernels, device, choose=choose)
    with kernels.rounding(by_onednn=facts.get(_BY) == "onednn"), computing_in(precision, model):
        yield facts
        if precision == "bf16":  # a checkpoint may have changed it
            facts[_BY] = "onednn" if kernels.round_by_onednn else "autocast"


def rounds(
    multiply: Multiply, sizes: Sequence[tuple[int, int, int]] = (_SIZE,), device: Any = "cpu"
) -> bool:
    """Whether products have the error of rounded factors, in every layout that a layer needs.

    The relative error of the Frobenius norm, against double precision, must lie between 1e-4 and
    1e-2: float32 is below, and a wrong product above. oneDNN's setting is a permission that some
    processors do not use, so that only the values show whether a product was rounded.

    Args:
        multiply: (a, b) -> a b.
        sizes: (rows, inputs, outputs) of the layers.
        device: Device of the products.

    >>> rounds(torch.mm)
    False
    >>> rounds(lambda a, b: a.bfloat16().float() @ b.bfloat16().float())
    True
    """
    least, most = _ERRORS
    errors = [_error(multiply, *pair) for size in sizes for pair in _factors(size, device)]
    return all(least < error < most for error in errors)


def _factors(size: tuple[int, int, int], device: Any) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the factors of the three products of a layer: forward, of the input, of the weight."""
    rows, inputs, outputs = size
    noise = torch.Generator().manual_seed(0)
    x, weight, of_y = (
        torch.randn(*shape, generator=noise).to(device)
        for shape in ((rows, inputs), (outputs, inputs), (rows, outputs))
    )
    yield from ((x, weight.t()), (of_y, weight), (of_y.t(), x))


@torch.no_grad()
def _error(multiply: Multiply, a: Float[Tensor, "M K"], b: Float[Tensor, "K N"]) -> float:
    """Return the relative error of a product in the Frobenius norm, against double precision."""
    exact = a.double() @ b.double()
    return ((multiply(a, b).double() - exact).norm() / exact.norm()).item()


def _require_tensor_cores(device: torch.device) -> None:
    """Refuse tf32 on a device that does not round products to it."""
    if not rounds(_by_tensor_cores, device=device):
        raise ConfigurationError(
            f"trainer.precision=tf32 has no effect: this {_kind(device)} has no TF32 products",
            hint="trainer.precision=float32",
        )


def _kind(device: torch.device) -> str:
    """Return the word for the device in messages."""
    return "processor" if device.type == "cpu" else "GPU"


def _chosen(
    timed: Timed,
    model: LatentVariableModel,
    kernels: Kernels,
    device: torch.device,
    *,
    choose: bool,
) -> dict[str, Any]:
    """Return the way to bf16 and its speedup: remembered, measured now, or chosen elsewhere."""
    if device.type != "cpu":
        return {_BY: "autocast"}
    name = _name(timed, model)
    known = _recalled(name)
    if not choose:
        return {_BY: known[0] if known else "autocast"}
    by, speedup = known or _measured(timed, model, kernels, name)
    if speedup < _WORTH:
        raise ConfigurationError(
            "trainer.precision=bf16 is no gain here: a step takes "
            f"{1 / speedup:.2f} times as long as in float32, and at most {1 / _WORTH} is accepted",
            hint="trainer.precision=float32 (after python -m vi forget it is measured again)",
        )
    return {_BY: by, "precision/speedup": speedup}


def _recalled(name: str) -> tuple[str, float] | None:
    """Return the remembered way and speedup, or None."""
    kept = memory().recall(name)
    whole = isinstance(kept, list) and len(kept) == 2 and kept[0] in _WAYS
    return (kept[0], kept[1]) if whole and isinstance(kept[1], float) else None


def _measured(
    timed: Timed, model: LatentVariableModel, kernels: Kernels, name: str
) -> tuple[str, float]:
    """Return the fastest way that rounds, and its speedup over single precision."""

    def decide(seconds: Sequence[float]) -> tuple[int, bool]:
        fastest = min(seconds[1:])
        return seconds.index(fastest), seconds[0] >= _WORTH * fastest

    ways = {way: _WAYS[way] for way in _rounding_ways(timed, model, kernels)}
    with ExitStack() as stack:
        steps = [_step(timed, kernels, way, stack) for way in (None, *ways.values())]
        decision, seconds = settled(steps, decide)
    fastest = min(range(1, len(steps)), key=seconds.__getitem__)
    if decision is None:  # no stable order now: neither refuse nor remember
        return [*ways][fastest - 1], max(_WORTH, seconds[0] / seconds[fastest])
    chosen = decision[0]
    speedup = seconds[0] / seconds[chosen]
    speedup = max(_WORTH, speedup) if decision[1] else min(speedup, 0.999 * _WORTH)
    memory().keep(name, [[*ways][chosen - 1], speedup])
    return [*ways][chosen - 1], speedup


def _rounding_ways(timed: Timed, model: LatentVariableModel, kernels: Kernels) -> list[str]:
    """Return the ways to try: autocast, and oneDNN if it rounds products of this model's sizes."""
    sizes = _sizes(timed, model)
    asked = linear.can_be_asked_to_round() and kernels.choosing and sizes
    return ["autocast", *(["onednn"] if asked and rounds(_WAYS["onednn"].multiply, sizes) else [])]


def _sizes(timed: Timed, model: LatentVariableModel) -> list[tuple[int, int, int]]:
    """Return (rows, inputs, outputs) of the linear layers that are large enough for a choice."""
    rows = timed.batch_size
    layers = (m for network in model.networks() for m in network.modules())
    shapes = {tuple(m.weight.shape) for m in layers if isinstance(m, nn.Linear)}
    return [(rows, d, h) for h, d in sorted(shapes) if rows * h * d >= SMALL]


def _step(timed: Timed, kernels: Kernels, way: Way | None, stack: ExitStack) -> Callable[[], None]:
    """Return a trial step in one way; None is single precision."""
    trial = timed.trial()
    stack.enter_context(in_class(swaps(kernels, [trial.model])))
    stack.enter_context(computing_in("bf16" if way else "float32", trial.model))
    by_onednn = way is not None and way.by_onednn

    def step() -> None:
        with torch.random.fork_rng([]), kernels.rounding(by_onednn=by_onednn):
            trial.step()

    return step


def _name(timed: Timed, model: LatentVariableModel) -> str:
    """Return the name under which the choice is remembered, from all that the time depends on."""
    shapes = [tuple(p.shape) for p in model.parameters()]
    said = repr((timed.kind, shapes, str(model)))
    digest = hashlib.sha256(said.encode()).hexdigest()[:16]
    return f"step {digest}, {timed.batch_size} rows, {torch.get_num_threads()} threads"
