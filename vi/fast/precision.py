"""How precisely networks compute; what comes out of them, and the bound, stay as they are."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor

from vi.errors import ConfigurationError
from vi.fast.swapped import Swapped, in_class
from vi.models.base import LatentVariableModel


class _Rounding(Swapped):
    precision: ClassVar[str]

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """What the network computes, in the precision of its parameters."""
        like = next(self.parameters())
        with _within(self.precision, like.device):
            output = super().__call__(*args, **kwargs)
        return output.to(like.dtype)


@contextmanager
def computing_in(precision: str, model: LatentVariableModel) -> Iterator[None]:
    """Within this block the networks of a model compute their products like this.

    bf16 rounds the inputs of every product to 8 bits, and the results that autocast rounds; tf32
    the inputs to 11; sums have 24. Whether a device does so, ``rounding`` finds out. Parameters,
    the networks' outputs and all that follows (log-weights, the bound, its mean) keep their
    precision.

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
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else tensor_cores()


@contextmanager
def tensor_cores() -> Iterator[None]:
    """Within this block single-precision products may use TF32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
