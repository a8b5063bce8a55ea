"""The kernel of each product of a linear layer: measured for each size, kept for a week."""

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
"""(a (M, K), b (N, K), by_onednn=, columns=) -> a b' (M, N), in one of three ways."""

SMALL = 1 << 22
"""Number of multiplications below which choosing costs more than it can gain."""

_MARGIN = 0.97  # another way is chosen if it takes less than this part of torch's time
_OVERHEAD = 50e-6  # seconds per step that an own backward pass costs a layer


class Plan(NamedTuple):
    """The kernels of the products of a linear layer of one size.

    Each of the first four fields is True if oneDNN computes the product: ``inference`` is the
    forward product without a gradient, ``forward`` the one with a gradient, ``of_input`` and
    ``of_weight`` those of the backward pass. ``columns`` stores the output by columns when it is
    the input of another layer; oneDNN then does not compute it.
    """

    inference: bool = False
    forward: bool = False
    of_input: bool = False
    of_weight: bool = False
    columns: bool = False


_SIZE_OF = ("rows", "inputs", "outputs", "threads")


class Plans:
    """The plans of the sizes met so far.

    A plan is measured when a size is first met, and remembered on this machine for a week. Plans
    are part of checkpoints, so that a resumed run uses the same kernels and computes the same
    bits.

    Args:
        product: Computes a product in each of the ways.
    """

    def __init__(self, product: Product) -> None:
        self.product = product
        self.by_size: dict[tuple[int, ...], Plan] = {}

    def of(self, rows: int, weight: Float[Tensor, "H D"]) -> Plan:
        """Return the plan of a layer with this weight for this number of rows.

        It is the one measured on this machine within the last week, or else is measured now. Small
        products are left to torch.

        Args:
            rows: Number of rows of the input.
            weight: The weight of the layer, (H, D).
        """
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
        """Return the plans as plain values, by the name of the size."""
        return {_name(size): list(plan) for size, plan in self.by_size.items()}

    def described(self) -> dict[str, str]:
        """Return, by size, the products that torch does not compute itself, in words."""
        return {
            _name(size): ", ".join(k for k, on in plan._asdict().items() if on) or "torch"
            for size, plan in self.by_size.items()
        }

    def adopt(self, plans: Mapping[str, Sequence[bool]]) -> None:
        """Use the plans of another process, so that a resumed run computes the same bits.

        Args:
            plans: What ``state_dict`` returned there.

        Raises:
            CheckpointError: The values are not plans.
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
                f"the plans of linear products are invalid: {dict(plans)}",
                hint="resume from a checkpoint that vi wrote",
            )
        self.by_size.update(whole)


def _plan(kept: Any) -> Plan | None:
    """Return the plan with these fields, or None if the values are not those of a plan."""
    whole = isinstance(kept, list) and len(kept) == len(Plan._fields)
    return Plan(*kept) if whole and all(isinstance(one, bool) for one in kept) else None


def _measured_and_kept(
    name: str, rows: int, weight: Float[Tensor, "H D"], product: Product
) -> Plan:
    """Measure a plan, and remember it for a week if the measurement was stable."""
    plan, is_settled = measured(rows, weight, product)
    if is_settled:
        memory().keep(name, list(plan))
    return plan


@torch.no_grad()
def measured(rows: int, weight: Float[Tensor, "H D"], product: Product) -> tuple[Plan, bool]:
    """Measure the plan of a size.

    oneDNN computes a product if it is at least 3 % faster. The products of a training step change
    only if together they gain more than an own backward pass costs, 50 microseconds. The output
    is stored by columns if MKL is then at least 3 % faster than the better of the other two.

    Args:
        rows: Number of rows of the input.
        weight: The weight of the layer, (H, D).
        product: Computes a product in each of the ways.

    Returns:
        The plan, and whether every comparison was stable; where one was not, torch's way is used.
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
    """Return the measurements of this processor and torch version; sizes include the threads."""
    return Measured(machine())


def _name(size: tuple[int, ...]) -> str:
    """Return the name under which a size is stored."""
    return "{}x{}x{}, {} threads".format(*size)


def _size(name: str) -> tuple[int, ...]:
    """Return the size that ``_name`` named."""
    return tuple(map(int, re.findall(r"\d+", name)))
