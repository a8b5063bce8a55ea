"""Noise that belongs to the datum, so that a result does not depend on the batch it came in."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from vi.math import mix
from vi.progress import watched

_current: ContextVar["_Noise | None"] = ContextVar("datum_noise", default=None)


@dataclass
class _Noise:
    """Seed, data indices and number of draws so far of one ``datum_noise`` block."""

    seed: int
    index: list[int]
    draws: int = 0


@contextmanager
def datum_noise(seed: int, index: Sequence[int] | Tensor) -> Iterator[None]:
    """Make ``draw`` give datum b the noise of (seed, index[b]) within this block.

    Results then do not depend on batch size, on the order of the data or on the number of
    processes. The random state outside the block is left unchanged.

    Args:
        seed: Seed of the whole evaluation.
        index: Position of each row of the batch in its data set, (B,).

    >>> from torch.distributions import Normal
    >>> from vi.distributions.draw import draw
    >>> def noise(*index: int) -> Tensor:
    ...     with datum_noise(0, index):
    ...         return draw(Normal(torch.zeros(len(index)), 1.0), 3).z
    >>> torch.equal(noise(4, 5, 6)[:, 1:2], noise(5))
    True
    """
    rows = index.tolist() if isinstance(index, Tensor) else list(index)
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    token = _current.set(_Noise(seed, rows))
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        _current.reset(token)


def groups_of_rows(n: int, size: int) -> Iterator[slice]:
    """Iterate over a batch in groups of rows, with the ``datum_noise`` of those rows.

    Every group must draw the same number of times. Draws after the last group continue from there,
    as if the batch had not been split.

    Args:
        n: Number of rows.
        size: Rows in a group; the last group may be smaller.

    Yields:
        The slice of each group.
    """
    noise = _current.get()
    draws = noise.draws if noise else 0
    for start in watched(range(0, n, size)):
        rows = slice(start, min(start + size, n))
        if noise is None:
            yield rows
            continue
        group = _Noise(noise.seed, noise.index[rows], draws)
        token = _current.set(group)
        try:
            yield rows
        finally:
            _current.reset(token)
            noise.draws = group.draws


def skip_draws(count: int) -> None:
    """Count draws that are not made, so that the noise of later ones does not depend on that.

    An estimate that stops where it is good enough skips the rest of its draws.
    """
    noise = _current.get()
    if noise is not None:
        noise.draws += count


def item(row: int) -> int:
    """Return the number of a row's datum in its data set, or the row outside ``datum_noise``."""
    noise = _current.get()
    return row if noise is None else noise.index[row]


def keyed_draw(num_samples: int, batch_shape: torch.Size) -> Any:
    """Return the context in which one draw takes its noise from the data.

    Outside ``datum_noise`` it does nothing. ``draw`` enters it.

    Args:
        num_samples: K, the first axis of the draw.
        batch_shape: Batch shape of the distribution, (B,) under ``datum_noise``.

    Raises:
        ValueError: Under ``datum_noise``, batch_shape is not (B,).
    """
    noise = _current.get()
    if noise is None:
        return nullcontext()
    if tuple(batch_shape) != (len(noise.index),):
        raise ValueError(
            f"batch_shape {tuple(batch_shape)} under noise of {len(noise.index)} data"
        )
    noise.draws += 1
    return _KeyedRandomness(noise, num_samples)


class _KeyedRandomness(TorchDispatchMode):
    """Run each random operation of torch once per datum, seeded by that datum."""

    def __init__(self, noise: _Noise, num_samples: int) -> None:
        super().__init__()
        self.noise = noise
        self.lead = (num_samples, len(noise.index))
        self.calls = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        self.calls += 1
        rows = [self._row(func, args, kwargs, b) for b in range(len(self.noise.index))]
        whole = torch.cat(rows, dim=self._axis(rows[0]))
        return args[0].copy_(whole) if func._schema.is_mutable else whole

    def _row(self, func: Any, args: tuple, kwargs: dict[str, Any], b: int) -> Tensor:
        seed = mix(self.noise.seed, self.noise.index[b], self.noise.draws, self.calls)
        device = next((a.device for a in args if isinstance(a, Tensor)), kwargs.get("device"))
        _default_generator(device).manual_seed(seed)
        return func(*(self._slice(a, b) for a in args), **kwargs)

    def _axis(self, row: Tensor) -> int:
        return 1 if row.ndim > 1 and row.shape[:2] == (self.lead[0], 1) else 0

    def _slice(self, arg: Any, b: int) -> Any:
        """Return the part of an argument that belongs to datum b: of a tensor, or of a size.

        The part is contiguous, because torch fills contiguous and strided memory in different
        orders.
        """
        if isinstance(arg, Tensor):
            if arg.shape[:2] == self.lead:
                return arg[:, b : b + 1].contiguous()
            return arg[b : b + 1] if arg.ndim and arg.shape[0] == self.lead[1] else arg
        if isinstance(arg, list | torch.Size) and tuple(arg[:2]) == self.lead:
            return [arg[0], 1, *arg[2:]]
        return arg


def _default_generator(device: torch.device | None) -> torch.Generator:
    if device is None or device.type != "cuda":
        return torch.default_generator
    index = torch.cuda.current_device() if device.index is None else device.index
    return torch.cuda.default_generators[index]
