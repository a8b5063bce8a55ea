"""File names in the states of Lightning's callbacks; Lightning deletes these files."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelCheckpoint

from vi.training.resuming.entries import is_dense, require

_PATHS = ("best_model_path", "kth_best_model_path", "last_model_path")


def key_of(callback: pl.Callback) -> str:
    """Return the key under which a checkpoint stores the state of a callback."""
    return callback.state_key


def of_lightning(trainer: pl.Trainer) -> Iterator[ModelCheckpoint]:
    """Iterate over the callbacks whose states name files that Lightning deletes."""
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint):
            yield callback


def plain_names(state: dict[str, Any]) -> dict[str, Any]:
    """Return the state of a ModelCheckpoint with file names in place of paths."""
    names = {key: Path(state[key]).name for key in _PATHS if key in state}
    best = {Path(path).name: score for path, score in state["best_k_models"].items()}
    return {**state, **names, "best_k_models": best, "dirpath": ""}


def rooted(state: dict[str, Any], folder: str) -> dict[str, Any]:
    """Return the state with paths in a folder, which may have moved."""

    def place(path: str) -> str:
        return os.path.join(folder, Path(path).name) if path else ""

    best = {place(path): score for path, score in state["best_k_models"].items()}
    paths = {key: place(state[key]) for key in _PATHS if key in state}
    return {**state, **paths, "best_k_models": best, "dirpath": folder}


def check_names(state: Any, where: str, path: Path) -> None:
    """Refuse names that are not plain, or (in older files) are outside the run's own folder."""
    require(isinstance(state, dict), where, "is not a dict")
    models = state.get("best_k_models", {})
    require(isinstance(models, dict), f"{where}.best_k_models", "is not a dict")
    folder = state.get("dirpath")
    require(isinstance(folder, str | None), f"{where}.dirpath", "is not a text")
    for name in (*(state[key] for key in _PATHS if key in state), *models):
        require(isinstance(name, str), where, "has a file name that is not a text")
        plain = name in ("", Path(name).name) and name not in (".", "..")
        own = bool(folder) and name == os.path.join(folder, Path(name).name)
        same = own and Path(folder).name == path.resolve().parent.name
        require(plain or same, where, f"names a file outside of its folder: {name}"[:200])
    state.setdefault("best_k_models", {})
    for key in ("best_model_score", "current_score", "kth_value", *models):
        value = models[key] if key in models else state.get(key)
        fits = value is None or is_dense(value) and value.dim() == 0
        require(fits, f"{where}.{key}", "is not a number")
