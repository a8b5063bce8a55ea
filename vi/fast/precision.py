"""How precisely networks compute; what comes out of them, and the bound, stay as they are."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vi.errors import ConfigurationError
from vi.models.base import LatentVariableModel

Precision = Literal["float32", "tf32", "bf16"]


@contextmanager
def computing_in(
    precision: Precision, model: LatentVariableModel, device: torch.device
) -> Iterator[None]:
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
    with ExitStack() as stack:
        for network in found:
            stack.enter_context(_around(network, precision, device))
        yield


@contextmanager
def _around(network: nn.Module, precision: Precision, device: torch.device) -> Iterator[None]:
    """Hooks, which a copy of the module takes along, and not another ``forward``."""
    entered: list[AbstractContextManager[Any]] = []

    def enter(module: nn.Module, _: Any) -> None:
        del module
        bf16 = precision == "bf16"
        context = torch.autocast(device.type, torch.bfloat16) if bf16 else tensor_cores()
        context.__enter__()
        entered.append(context)

    def leave(module: nn.Module, _: Any, output: Tensor | None) -> Tensor | None:
        entered.pop().__exit__(None, None, None)
        return None if output is None else output.to(next(module.parameters()).dtype)

    not_compiled: Any = torch.compiler.disable  # but what is between the hooks may be
    hooks = [
        network.register_forward_pre_hook(not_compiled(enter)),
        network.register_forward_hook(not_compiled(leave), always_call=True),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def tensor_cores() -> Iterator[None]:
    """Within this block single-precision products may use TF32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
