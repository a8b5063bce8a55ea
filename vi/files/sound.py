"""Check that saved weights and their configuration are such as vi writes."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vi.errors import CheckpointError

_FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_PLAIN = (bool, int, float, str, type(None))
_SHAPE = re.compile(r"\d{1,9}(x\d{1,9})*|")
_MOST_ENTRIES = 1 << 31  # largest number of entries of a datum


def require_sound_weights(
    ours: Mapping[str, torch.Tensor], theirs: Mapping[str, torch.Tensor], source: Path
) -> None:
    """Refuse weights of another type, or with NaN values.

    Another precision is accepted if it is the same for all tensors of one precision in the model.

    Args:
        ours: The weights of the model; the same names and shapes as in the file.
        theirs: The weights of the file.
        source: The file, for messages.

    Raises:
        CheckpointError: A type differs or a value is NaN; the message names the first such tensor.

    >>> require_sound_weights({"w": torch.ones(1)}, {"w": torch.tensor([torch.nan])}, Path("a"))
    Traceback (most recent call last):
    vi.errors.CheckpointError: a: 1 NaN values in w
    """
    precisions: dict[torch.dtype, torch.dtype] = {}
    for name, tensor in ours.items():
        other = theirs[name]
        same_kind = other.dtype in _FLOATING if tensor.is_floating_point() else False
        wanted = precisions.setdefault(tensor.dtype, other.dtype if same_kind else tensor.dtype)
        if other.dtype != wanted:
            raise CheckpointError(
                f"{source}: {name} is {other.dtype}, the model expects {wanted}",
                hint="save the model again; vi writes all weights in the precision of the model",
            )
        if other.isnan().any():
            raise CheckpointError(
                f"{source}: {int(other.isnan().sum())} NaN values in {name}",
                hint="load another checkpoint; with NaN weights every result is NaN",
            )


def require_sound_config(config: Mapping[str, Any], source: Path) -> None:
    """Refuse a configuration that ``vi.save`` does not write: wrong types, seed or shape.

    Args:
        config: ``config.json``, of a known format.
        source: The file, for messages.

    Raises:
        CheckpointError: A value is not such as ``vi.save`` writes.

    >>> require_sound_config({"facts": {"seed": -1}, "model": {"option": "vae"}}, Path("a"))
    Traceback (most recent call last):
    vi.errors.CheckpointError: a: seed must be from 0 to 2^63 - 1, got -1
    """
    wrong = _wrong(config)
    if wrong:
        raise CheckpointError(
            f"{source}: {wrong}", hint="vi does not write such a file; save the model again"
        )


def _wrong(config: Mapping[str, Any]) -> str:
    """Return what is wrong with a configuration, or an empty text."""
    facts, plugins = config.get("facts"), config.get("plugins", [])
    if not isinstance(facts, Mapping):
        return f"facts must be values by name, got {facts!r}"
    odd = [name for name, value in facts.items() if not isinstance(value, _PLAIN)]
    if odd:
        return f"facts hold {odd[0]!r}, which is not a plain value"
    if not isinstance(plugins, list) or not all(isinstance(p, str) for p in plugins):
        return "plugins must be a list of packages"
    for group in ("model", *(name for name in ("data", "bound") if name in config)):
        if not isinstance(config.get(group), Mapping):
            return f"{group} must be an option with its values, got {config.get(group)!r}"
    seed = facts.get("seed", 0)
    if type(seed) is not int or not 0 <= seed < 1 << 63:
        return f"seed must be from 0 to 2^63 - 1, got {seed!r}"
    shape = facts.get("data/shape", "")
    if (
        not isinstance(shape, str)
        or not _SHAPE.fullmatch(shape)
        or _entries(shape) > _MOST_ENTRIES
    ):
        return f"data/shape must be sizes such as 1x28x28, got {shape!r}"
    return ""


def _entries(shape: str) -> int:
    """Return the number of entries of a shape such as 1x28x28."""
    return torch.Size(int(n) for n in shape.split("x") if n).numel()


def follow_precision(model: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Give what is not saved the precision of the networks' weights; doubles beside them stay."""
    default = torch.get_default_dtype()
    ours = (weights[name].dtype for name, p in model.named_parameters() if p.dtype is default)
    if (said := next(ours, default)) is not default:
        for module in model.modules():
            for name, buffer in module.named_buffers(recurse=False):
                setattr(module, name, buffer.to(said) if buffer.dtype is default else buffer)
