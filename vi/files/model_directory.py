"""Where a model lies: in a run directory, in a directory of its own, or on the hub."""

from pathlib import Path

from vi.errors import CheckpointError

CONFIG = "config.json"


def model_directory(source: str | Path) -> Path:
    """Return the model directory in a run directory, itself, or from a name on the hub."""
    path = Path(source)
    for candidate in (path / "model", path):
        if (candidate / CONFIG).is_file():
            return candidate
    if not path.exists() and str(source).count("/") == 1 and not str(source).startswith("."):
        return _from_hub(str(source))
    if (path / "metrics.json").is_file():
        raise CheckpointError(
            f"the run in {source} ended without model/: a part of its model has no option name",
            hint="its weights are in checkpoints/; a yaml names the part (python -m vi new)",
        )
    raise CheckpointError(
        f"no model in {source}: there is no {CONFIG}",
        hint="give a run directory that finished (with model/ inside) or a model directory",
    )


def _from_hub(name: str) -> Path:
    try:
        from huggingface_hub import snapshot_download  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise CheckpointError(
            f"there is no directory {name}, and the hub client is not installed",
            hint="check the path, or install huggingface_hub to load from the hub",
        ) from None
    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.md"]))
    except Exception as error:  # the client raises a dozen unrelated types of errors
        raise CheckpointError(
            f"there is no directory {name}, and the download from the hub failed: {error}",
            hint="check the path or the name, and the network",
        ) from error
