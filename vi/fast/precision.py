"""The precision of the networks' products; the bound and the parameters keep theirs."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor

from vi.errors import ConfigurationError
from vi.fast.swapped import Swapped, in_class
from vi.models.base import LatentVariableModel


class _Rounding(Swapped):
    """A network that computes its products in a lower precision."""

    precision: ClassVar[str]

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return the output of the network, in the precision of its parameters."""
        like = next(self.parameters())
        with _within(self.precision, like.device):
            output = super().__call__(*args, **kwargs)
        return output.to(like.dtype)


@contextmanager
def computing_in(precision: str, model: LatentVariableModel) -> Iterator[None]:
    """Compute the products of a model's networks in this precision inside the ``with`` block.

    * float32: 24 bits; nothing changes.
    * tf32: the factors of every product are rounded to 11 bits, the sums are not.
    * bf16: the factors are rounded to 8 bits, and so are the results that autocast rounds.

    Whether the device really rounds is checked by ``rounding``. Parameters, the outputs of the
    networks and all that follows (log-weights, the bound, its mean) keep their precision.

    Args:
        precision: One of float32, tf32 and bf16.
        model: The model whose networks are affected.

    Raises:
        ConfigurationError: The model has no networks.
    """
    if precision == "float32":
        yield
        return
    found = list(model.networks())
    if not found:
        raise ConfigurationError(
            f"trainer.precision={precision} is for networks, and {type(model).__name__} has none",
            hint="trainer.precision=float32",
        )
    with in_class([(part, _Rounding, {"precision": precision}) for part in found]):
        yield


def _within(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Return the context of autocast to bf16, or of tensor cores."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else tensor_cores()


@contextmanager
def tensor_cores() -> Iterator[None]:
    """Allow TF32 for single-precision products inside the ``with`` block."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
