"""Which way the products of a linear layer take: measured for each size, and kept for a week."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vi.cache import Measured
from vi.errors import CheckpointError
from vi.fast.machine import machine
from vi.fast.settled import settled

Product = Callable[..., Tensor]
"""a (M, K), b (N, K), by_onednn=, columns= -> a b' (M, N) in one of the ways."""

SMALL = 1 << 22
"""Multiplications below which choosing would cost more than it could win."""

_MARGIN = 0.97  # of the time of torch that another way may take at most
_OVERHEAD = 50e-6  # seconds that an own backward costs a layer in each step


class Plan(NamedTuple):
    """Which products of a linear layer oneDNN computes, and how those of torch are laid out."""

    inference: bool = False
    forward: bool = False
    of_input: bool = False
    of_weight: bool = False
    columns: bool = False  # what goes on into another layer, which oneDNN then does not compute


_SIZE_OF = ("rows", "inputs", "outputs", "threads")


class Plans:
    """What was chosen for the sizes met so far.

    Args:
        product: Computes a product in each of the ways.
    """

    def __init__(self, product: Product) -> None:
        self.product = product
        self.by_size: dict[tuple[int, ...], Plan] = {}

    def of(self, rows: int, weight: Float[Tensor, "H D"]) -> Plan:
        """For a layer and batch of this size: as measured here this week, or measured now."""
        if rows * weight.numel() < SMALL:
            return Plan()
        size = (rows, *reversed(weight.shape), torch.get_num_threads())
        if size not in self.by_size:
            name = _name(size)
            self.by_size[size] = _plan(memory().recall(name)) or _measured_and_kept(
                name, rows, weight.detach(), self.product
            )
        return self.by_size[size]

    def state_dict(self) -> dict[str, list[bool]]:
        """Plain values."""
        return {_name(size): list(plan) for size, plan in self.by_size.items()}

    def described(self) -> dict[str, str]:
        """The same for people: the products of each size that torch does not compute itself."""
        return {
            _name(size): ", ".join(k for k, on in plan._asdict().items() if on) or "torch"
            for size, plan in self.by_size.items()
        }

    def adopt(self, plans: Mapping[str, Sequence[bool]]) -> None:
        """Choose as another process did: a resumed run computes what it would have computed.

        Raises:
            CheckpointError: They are no plans.
        """
        found: dict[tuple[int, ...], Plan | None] = {
            _size(name): _plan(list(plan)) for name, plan in plans.items()
        }
        whole: dict[tuple[int, ...], Plan] = {}
        for size, plan in found.items():
            if plan is not None and len(size) == len(_SIZE_OF):
                whole[size] = plan
        if len(whole) < len(plans):
            raise CheckpointError(
                f"these are no plans of products: {dict(plans)}", hint="give a file of a run"
            )
        self.by_size.update(whole)


def _plan(kept: Any) -> Plan | None:
    whole = isinstance(kept, list) and len(kept) == len(Plan._fields)
    return Plan(*kept) if whole and all(isinstance(one, bool) for one in kept) else None


def _measured_and_kept(
    name: str, rows: int, weight: Float[Tensor, "H D"], product: Product
) -> Plan:
    plan, is_settled = measured(rows, weight, product)
    if is_settled:
        memory().keep(name, list(plan))
    return plan


@torch.no_grad()
def measured(rows: int, weight: Float[Tensor, "H D"], product: Product) -> tuple[Plan, bool]:
    """oneDNN wherever it wins, if that is worth an own backward; columns where they win more.

    Returns:
        The plan, and whether every order was stable; torch computes a product whose was not.
    """
    x, of_y = (torch.linspace(-1, 1, rows * n).view(rows, n) for n in reversed(weight.shape))

    def ways(a: Tensor, b: Tensor) -> list[Any]:
        return [
            lambda: product(a, b, by_onednn=False),
            lambda: product(a, b, by_onednn=True),
            lambda: product(a, b, by_onednn=False, columns=True),
        ]

    def wins(times: Sequence[float]) -> bool:
        return times[1] < _MARGIN * times[0]

    decided, times = settled(
        ways(x, weight), lambda t: (wins(t), t[2] < _MARGIN * (t[1] if wins(t) else t[0]))
    )
    backward = [settled(ways(a, b)[:2], wins) for a, b in ((of_y, weight.t()), (of_y.t(), x.t()))]
    forward, columns = decided or (False, False)
    chosen = [forward, *(bool(decision) for decision, _ in backward)]
    all_times = [times, *(seconds for _, seconds in backward)]
    won = sum(t[0] - t[1] for t, own in zip(all_times, chosen, strict=True) if own)
    plan = Plan(forward, *(chosen if won > _OVERHEAD else ()))._replace(columns=columns)
    return plan, None not in (decided, *(decision for decision, _ in backward))


@cache
def memory() -> Measured:
    """Of this processor and this version of torch; the threads are part of a size."""
    return Measured(machine())


def _name(size: tuple[int, ...]) -> str:
    return "{}x{}x{}, {} threads".format(*size)


def _size(name: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", name)))
