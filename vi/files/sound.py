"""Whether what stands beside and within saved weights is what a model writes."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vi.errors import CheckpointError

_FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_PLAIN = (bool, int, float, str, type(None))
_SHAPE = re.compile(r"\d{1,9}(x\d{1,9})*|")
_MOST_ENTRIES = 1 << 31  # of a datum


def require_sound_weights(
    ours: Mapping[str, torch.Tensor], theirs: Mapping[str, torch.Tensor], source: Path
) -> None:
    """Refuse weights of another type, or that are no numbers.

    The precision may be another one, if it is another for all tensors that have the same in ours.

    Args:
        ours: Of the model that they are for, of the same names and shapes.
        theirs: Of the file.
        source: The file.

    Raises:
        CheckpointError: They are, with the name of the first.
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
                hint="load another checkpoint; these weights give no numbers",
            )


def require_sound_config(config: Mapping[str, Any], source: Path) -> None:
    """Refuse what ``vi.save`` does not write: other types, a seed or a shape that cannot be.

    Args:
        config: ``config.json``, of the known format.
        source: The file.

    Raises:
        CheckpointError: It is not from there, with what is wrong.
    """
    wrong = _wrong(config)
    if wrong:
        raise CheckpointError(
            f"{source}: {wrong}", hint="it was changed by hand; save the model again"
        )


def _wrong(config: Mapping[str, Any]) -> str:
    facts, plugins = config.get("facts"), config.get("plugins", [])
    if not isinstance(facts, Mapping):
        return f"facts must be values by name, got {facts!r}"
    odd = [name for name, value in facts.items() if not isinstance(value, _PLAIN)]
    if odd:
        return f"facts hold {odd[0]!r}, which is no plain value"
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
    return torch.Size(int(n) for n in shape.split("x") if n).numel()
