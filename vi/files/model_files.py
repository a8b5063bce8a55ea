"""Save and load a model as option names, weights and checksums, never as code."""

import hashlib
import json
import math
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes

import vi
from vi.config.build import build
from vi.config.conversion import from_config, to_config
from vi.config.registry import require_named
from vi.errors import CheckpointError, ConfigurationError
from vi.files.atomic import write_atomically
from vi.files.model_directory import CONFIG, model_directory
from vi.files.older_versions import present_weights
from vi.files.plain_files import Unreadable, read_json
from vi.files.sound import follow_precision, require_sound_config, require_sound_weights
from vi.models.base import LatentVariableModel

__all__ = ["load", "save"]

FORMAT = 1
_WEIGHTS, _CARD, _MANIFEST = "model.safetensors", "README.md", "manifest.json"


def save(
    model: LatentVariableModel,
    directory: str | Path,
    *,
    facts: Mapping[str, Any] | None = None,
    parts: Mapping[str, Any] | None = None,
    plugins: Iterable[str] = (),
) -> Path:
    """Write a model directory: config.json, model.safetensors, README.md, manifest.json.

    Args:
        model: Model whose parts are options, built from a configuration or in Python.
        directory: Folder, made if missing; files of the same name are replaced.
        facts: Plain values to store beside the weights (seed, metrics).
        parts: Other parts to store by option name, by group: the data set and the bound.
        plugins: Packages besides vi whose options the model uses.

    Returns:
        The directory.

    Raises:
        ConfigurationError: A part of the model is not an option, so it cannot be saved by name.
    """
    directory = Path(directory)
    config = {
        "format": FORMAT,
        "vi": vi.__version__,
        "plugins": list(plugins),
        "model": to_config("model", model, plugins),
        **{group: to_config(group, part, plugins) for group, part in (parts or {}).items()},
        **({"units": model.units} if model.units else {}),
        "facts": finite(facts or {}),
    }
    directory.mkdir(parents=True, exist_ok=True)
    weights = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    write_atomically(directory / CONFIG, _json(config))
    write_atomically(directory / _WEIGHTS, to_bytes(weights))
    write_atomically(directory / _CARD, _card(config).encode())
    digests = {name: _sha256(directory / name) for name in (CONFIG, _WEIGHTS, _CARD)}
    write_atomically(directory / _MANIFEST, _json({"sha256": digests}))
    return directory


def load(
    source: str | Path, *, device: str | torch.device = "cpu", plugins: Iterable[str] = ()
) -> LatentVariableModel:
    """Load a saved model in evaluation mode, with bit-equal outputs.

    Args:
        source: A run directory, a model directory, or a name on the Hugging Face hub.
        device: Device of the weights.
        plugins: Packages besides vi whose options are permitted.

    Raises:
        CheckpointError: Files are missing, damaged or of another model.
        ConfigurationError: The configuration names something that is not an option.
    """
    directory = model_directory(source)
    config = read_config(directory)
    model = built("model", config, directory, plugins)
    weights = present_weights(_weights(directory), model.state_dict())
    require_same(model.state_dict(), weights)
    require_sound_weights(model.state_dict(), weights, directory / _WEIGHTS)
    follow_precision(model, weights)
    model.load_state_dict(
        weights, assign=True
    )  # each tensor keeps the precision in which it was saved
    return model.to(device).eval()


def load_weights(model: LatentVariableModel, source: str | Path) -> None:
    """Copy saved weights into a model of the same shapes.

    Raises:
        CheckpointError: Files are missing, damaged or of another model.
    """
    directory = model_directory(source)
    _verify(directory)
    weights = present_weights(_weights(directory), model.state_dict())
    require_same(model.state_dict(), weights)
    require_sound_weights(model.state_dict(), weights, directory / _WEIGHTS)
    model.load_state_dict(weights)


def _weights(directory: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(directory / _WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{directory / _WEIGHTS} cannot be read: {error}", hint="save the model again"
        ) from error


def read_config(directory: Path) -> dict[str, Any]:
    """Return the verified ``config.json`` of a model directory."""
    _verify(directory)
    try:
        config = read_json(directory / CONFIG, constant=float)
        if not isinstance(config, dict) or config.get("format") != FORMAT:
            raise Unreadable("has another format")
        config = _with_finite_facts(config, directory / CONFIG)
    except Unreadable as error:
        raise CheckpointError(
            f"{directory / CONFIG} is not a configuration of format {FORMAT}: it {error}",
            hint=f"it was not written by vi {vi.__version__}; save the model again",
        ) from error
    require_sound_config(config, directory / CONFIG)
    return config


def _with_finite_facts(config: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the configuration with null for non-finite facts, which older versions wrote."""
    facts = config.get("facts")
    whole = config | ({"facts": finite(facts)} if isinstance(facts, dict) else {})
    try:
        json.dumps(whole, allow_nan=False)
    except ValueError:
        raise Unreadable("contains NaN or Infinity, which is not a number") from None
    if isinstance(facts, dict) and any(whole["facts"][k] is not facts[k] for k in facts):
        warnings.warn(f"{path} contains facts that are not finite; they are null", stacklevel=4)
    return whole


def built(
    group: str, config: Mapping[str, Any], directory: Path, plugins: Iterable[str] = (), **own: Any
) -> Any:
    """Build the part that a saved configuration describes, with ``own`` values replaced.

    Raises:
        ConfigurationError: It names something that is not an option.
        CheckpointError: The option does not accept the saved values.
    """
    try:
        node = from_config(group, config[group], plugins)
    except ConfigurationError:
        require_named(config.get("plugins", []), plugins, directory)
        raise
    try:
        return build(group, node | own, plugins=plugins)
    except ConfigurationError as error:
        if own:
            raise
        raise CheckpointError(
            f"{directory / CONFIG}: {error}", hint="save the model again, or copy it again"
        ) from error


def finite(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts with None for numbers that are not finite, which JSON cannot store."""

    def known(value: Any) -> bool:
        return not isinstance(value, float) or math.isfinite(value)

    return {name: value if known(value) else None for name, value in facts.items()}


def _verify(directory: Path) -> None:
    try:
        digests = read_json(directory / _MANIFEST)["sha256"]
        wanted = {name: digests[name] for name in (CONFIG, _WEIGHTS)}
    except (Unreadable, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{directory / _MANIFEST} is missing or damaged ({error})",
            hint="copy the whole directory again",
        ) from error
    for name, digest in wanted.items():
        if not (directory / name).is_file():
            raise CheckpointError(
                f"{directory / name} is missing", hint="copy the whole directory again"
            )
        if _sha256(directory / name) != digest:
            raise CheckpointError(
                f"{directory / name}: checksum mismatch with {_MANIFEST}",
                hint="the file was changed or damaged; copy the whole directory again",
            )


def require_same(ours: Mapping[str, torch.Tensor], theirs: Mapping[str, torch.Tensor]) -> None:
    """Require weights with the names and shapes of the model.

    Raises:
        CheckpointError: A name or a shape differs.
    """
    missing, unexpected = sorted(ours.keys() - theirs), sorted(theirs.keys() - ours)
    if missing or unexpected:
        raise CheckpointError(
            f"the weights are from another model: {len(missing)} missing, {len(unexpected)} "
            f"unexpected (first: {(missing + unexpected)[0]})",
            hint="build the model with the options that the weights were trained with",
        )
    for name, tensor in ours.items():
        if tensor.shape != theirs[name].shape:
            raise CheckpointError(
                f"the weights are from another model: {name} has shape "
                f"{tuple(theirs[name].shape)}, the model expects {tuple(tensor.shape)}",
                hint="build the model with the options that the weights were trained with",
            )


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read: {error.strerror or error}",
            hint="check its permissions, or copy the whole directory again",
        ) from error


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def _card(config: Mapping[str, Any]) -> str:
    facts = "\n".join(f"| {k} | {v} |" for k, v in config["facts"].items())
    model = config["model"]
    parts = ", ".join(f"{k}={v['option']}" for k, v in model.items() if isinstance(v, dict))
    return f"""# A {model["option"]} made with vi {config["vi"]}

{parts}

```python
import vi
model = vi.load("path/to/this/directory")
q = model.posterior(x)
```

| fact | value |
|---|---|
{facts}
"""
