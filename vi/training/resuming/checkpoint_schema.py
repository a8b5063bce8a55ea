"""What may stand in a checkpoint: all of it is checked before any of it is used.

A state is compared with those that the same part has at the start and after a step; what may grow
(statistics, histories) by its kind.
"""

import copy
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from vi.errors import CheckpointError, ViError
from vi.fast import session
from vi.files.model_files import require_same
from vi.schemes.base import Context
from vi.training.resuming.ended import REASONS

if TYPE_CHECKING:
    from vi.training.module import TrainingModule

_HINT = "give the checkpoints/last.ckpt of a run, as the run wrote it"
_MOST = 1 << 53  # of a counter
_PATHS = ("best_model_path", "kth_best_model_path", "last_model_path")
_SIZE = re.compile(r"\d{1,12}x\d{1,12}x\d{1,12}, \d{1,6} threads")  # of a product
_PLAN = session.plan_size
_SCALARS = (bool, int, float, str, type(None))


def check(checkpoint: dict[str, Any], module: "TrainingModule", path: Path) -> None:
    """Refuse what no run of these parts can have written.

    Raises:
        CheckpointError: A missing entry, or one of another type, shape or range.
    """
    check_weights(checkpoint, module, path)
    with _of_this_run(path):
        _check_parts(checkpoint, module)
        _check_run(checkpoint.get("run", {}))


def check_weights(checkpoint: dict[str, Any], module: "TrainingModule", path: Path) -> None:
    """Refuse a file whose entries are missing or of another kind, or whose weights do not fit.

    Raises:
        CheckpointError: It is one.
    """
    with _of_this_run(path):
        _check_entries(checkpoint)
        _check_weights(checkpoint["state_dict"], module)


@contextmanager
def _of_this_run(path: Path) -> Iterator[None]:
    """Within this block what does not fit is told with its file."""
    try:
        yield
    except _Unfit as error:
        raise CheckpointError(
            f"{path} is no checkpoint of this run: {error}", hint=_HINT
        ) from error


def check_callbacks(checkpoint: dict[str, Any], trainer: pl.Trainer, path: Path) -> None:
    """Refuse states that the callbacks of the run cannot have written.

    Raises:
        CheckpointError: A state of another form, or one that names a file of another folder.
    """
    states = checkpoint["callbacks"]
    with _of_this_run(path):
        for name, state in states.items():
            if name.startswith(ModelCheckpoint.__name__):
                _check_names(state, name, path)
        for callback in trainer.callbacks:  # pyright: ignore[reportAttributeAccessIssue]
            ours = type(callback).__module__.startswith(("vi.", "lightning."))
            if ours and not isinstance(callback, ModelCheckpoint) and key_of(callback) in states:
                forms = getattr(callback, "forms", [callback.state_dict()])
                _like(states[key_of(callback)], forms, key_of(callback))


class _Unfit(Exception):
    pass


def _require(true: object, where: str, told: str) -> None:
    if not true:
        raise _Unfit(f"{where} {told}")


def _check_entries(checkpoint: dict[str, Any]) -> None:
    kinds = {"state_dict": Mapping, "scheme": dict, "spent": dict, "callbacks": dict}
    kinds |= {"optimizer_states": list, "lr_schedulers": list}
    for name, kind in kinds.items():
        _require(name in checkpoint, name, "is missing")
        _require(isinstance(checkpoint[name], kind), name, f"is no {kind.__name__}")
    _count(checkpoint.get("global_step"), "global_step")
    _count(checkpoint.get("epoch"), "epoch")
    _count(checkpoint.get("threads", 1), "threads", least=1, most=max(1024, os.cpu_count() or 1))
    spent = checkpoint["spent"]
    _require(spent.keys() == {"seconds", "encoder", "decoder"}, "spent", "has other entries")
    for name, value in spent.items():
        _number(value, f"spent.{name}")
    _check_arithmetic(checkpoint)
    for name in checkpoint["callbacks"]:
        _require(isinstance(name, str), "callbacks", "has a key that is no text")


def _check_arithmetic(checkpoint: dict[str, Any]) -> None:
    plans, machine = session.plans_of(checkpoint), checkpoint.get("arithmetic", {})
    for name, value in (*(("products", p) for p in plans), ("arithmetic", machine)):
        _require(isinstance(value, dict), name, "is no dict")
    for size, plan in chain.from_iterable(p.items() for p in plans):
        known = isinstance(size, str) and _SIZE.fullmatch(size) and isinstance(plan, list)
        fits = known and len(plan) == _PLAN and all(type(v) is bool for v in plan)
        _require(fits, "products", "holds no plans")
    for name, value in machine.items():
        _require(type(value) in _SCALARS, f"arithmetic.{name}", "is no plain value")


def _check_weights(weights: Mapping[str, Any], module: "TrainingModule") -> None:
    ours = module.state_dict()
    for name, value in weights.items():
        _require(isinstance(name, str) and _is_dense(value), f"state_dict.{name}", "is no tensor")
    require_same(ours, weights)
    for name, value in weights.items():
        dtype = ours[name].dtype
        _require(value.dtype == dtype, name, f"is {value.dtype}, the model's is {dtype}")
        _require(not value.isnan().any() or ours[name].isnan().any(), name, "holds NaN")


def _check_parts(checkpoint: dict[str, Any], module: "TrainingModule") -> None:
    scheme, bound, model = copy.deepcopy((module.scheme, module.bound, module.model))
    optimizers, schedules = scheme.configure(model, bound)
    states = checkpoint["optimizer_states"]
    states = states if optimizers else [state for state in states if state]  # Lightning's own
    _require(len(states) == len(optimizers), "optimizer_states", f"are {len(states)}")
    for i, (state, optimizer) in enumerate(zip(states, optimizers, strict=True)):
        _check_optimizer(state, optimizer, f"optimizer_states[{i}]")
    states = checkpoint["lr_schedulers"]
    _require(len(states) == len(schedules), "lr_schedulers", f"are {len(states)}")
    for i, (state, schedule) in enumerate(zip(states, schedules, strict=True)):
        _like(state, [schedule.state_dict()], f"lr_schedulers[{i}]")
    forms = [copy.deepcopy(scheme.state_dict())]
    with suppress(ViError, RuntimeError, ValueError), torch.random.fork_rng([]):
        batch = module.data.train.batch(torch.arange(min(2, len(module.data.train))))
        scheme.step(Context(model, bound, optimizers), batch)
        forms.append(copy.deepcopy(scheme.state_dict()))
        scheme.end_epoch(bound, model, batch)
        forms.append(copy.deepcopy(scheme.state_dict()))
    _like(checkpoint["scheme"], forms, "scheme")


def _check_optimizer(state: Any, optimizer: Optimizer, where: str) -> None:
    fresh = optimizer.state_dict()
    known = isinstance(state, dict) and state.keys() == fresh.keys()
    _require(known, where, f"is no {type(optimizer).__name__}")
    groups, ours = state["param_groups"], fresh["param_groups"]
    same = isinstance(groups, list) and len(groups) == len(ours)
    _require(same, f"{where}.param_groups", "has another length")
    for group, our in zip(groups, ours, strict=True):
        known = isinstance(group, dict) and group.keys() <= our.keys()
        _require(known and group.get("params") == our["params"], f"{where}.param_groups", "differ")
        for name, value in group.items():
            _like(value, [our[name]], f"{where}.{name}")
    parameters = dict(enumerate(p for g in optimizer.param_groups for p in g["params"]))
    _require(isinstance(state["state"], dict), f"{where}.state", "is no dict")
    for number, entries in state["state"].items():
        known = number in parameters and isinstance(entries, dict)
        _require(known, f"{where}.state", f"knows no parameter {number}")
        for name, value in entries.items():
            fits = type(value) in _SCALARS or _belongs(value, parameters[number])
            _require(fits, f"{where}.state[{number}].{name}", "does not fit its parameter")


def _belongs(value: Any, parameter: Parameter) -> bool:
    """A number, or something of the shape of the parameter, or of its rows or columns."""
    if not _is_dense(value) or value.isnan().any():
        return False
    if value.dim() == 0:
        return value.dtype in (torch.float32, torch.int64, parameter.dtype)
    pairs = zip(value.shape, parameter.shape, strict=False)
    fits = value.dim() == parameter.dim() and all(n in (1, m) for n, m in pairs)
    layout = value.is_contiguous() or value.stride() == parameter.stride()
    return fits and layout and value.dtype == parameter.dtype


def _check_run(run: Any) -> None:
    _require(isinstance(run, dict), "run", "is no dict")
    for name in ("facts", "limits", "latest", "means"):
        _require(isinstance(run.get(name, {}), dict), f"run.{name}", "is no dict")
        _require(all(isinstance(k, str) for k in run.get(name, {})), f"run.{name}", "has no names")
    _count(run.get("seed", 0), "run.seed", most=(1 << 63) - 1)
    for name in ("open", "converged"):
        _require(type(run.get(name, False)) is bool, f"run.{name}", "is neither true nor false")
    ended = run.get("ended", [])
    known = isinstance(ended, list) and all(reason in REASONS for reason in ended)
    _require(known, "run.ended", f"is none of {', '.join(REASONS)}")
    for name, limit in run.get("limits", {}).items():
        _require(limit is None or _is_number(limit), f"run.limits.{name}", "is no number")
    for name, value in run.get("latest", {}).items():
        _require(_is_number(value), f"run.latest.{name}", "is no number")
    for name, rows in run.get("means", {}).items():
        known = isinstance(rows, list) and all(_is_dense(r) and r.dim() == 1 for r in rows)
        _require(known, f"run.means.{name}", "are no columns")


def _like(value: Any, forms: Sequence[Any], where: str) -> None:
    """Whether a plain value has the form of one of these."""
    if isinstance(value, Mapping):
        alike = [form for form in forms if isinstance(form, Mapping)]
        _require(any(value.keys() == form.keys() for form in alike), where, "has other entries")
        for key in value:
            _like(value[key], [form[key] for form in alike if key in form], f"{where}.{key}")
    elif isinstance(value, list | tuple):
        alike = [form for form in forms if isinstance(form, list | tuple)]
        elements = [element for form in alike for element in form]
        grows = bool(elements) and all(isinstance(e, Mapping) for e in elements)
        lengths = {len(form) for form in alike}
        _require(bool(alike) and (grows or len(value) in lengths), where, "has another length")
        for i, element in enumerate(value):
            _like(element, elements, f"{where}[{i}]")
    else:
        fits = _is_known(value, forms) if isinstance(value, str) else _is_any(value, forms)
        _require(fits, where, f"is {_told(value)}")


def _is_known(text: str, forms: Sequence[Any]) -> bool:
    """One of the words that may stand there; any, where nothing has been said so far."""
    return text in [form for form in forms if form is not None] or (
        bool(forms) and all(form is None for form in forms)
    )


def _is_any(value: Any, forms: Sequence[Any]) -> bool:
    return any(_is_alike(value, form) for form in forms)


def _is_alike(value: Any, form: Any) -> bool:
    if isinstance(form, Tensor):
        same = _is_dense(value) and value.shape == form.shape and value.dtype == form.dtype
        return same and not value.isnan().any()
    if value is None or form is None:
        kinds = (type(None), bool, int, float)
        return type(value) in kinds if form is None else type(form) is bool
    if isinstance(form, bool) or isinstance(value, bool):
        return type(value) is type(form)
    return _is_number(form) and _is_number(value) and value == value


def _told(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)} of {value.dtype}"
    return f"{value!r}"[:40]


def _is_dense(value: Any) -> bool:
    return isinstance(value, Tensor) and value.layout == torch.strided and not value.is_meta


def _is_number(value: Any, *, finite: bool = False) -> bool:
    return type(value) in (int, float) and (not finite or math.isfinite(value))


def _number(value: Any, where: str) -> None:
    fits = _is_number(value, finite=True) and value >= 0
    _require(fits, where, f"is {_told(value)}")


def _count(value: Any, where: str, *, least: int = 0, most: int = _MOST) -> None:
    fits = type(value) is int and least <= value <= most
    _require(fits, where, f"is {_told(value)}")


def key_of(callback: pl.Callback) -> str:
    """Under which name the state of a callback is kept."""
    return callback.state_key


def of_lightning(trainer: pl.Trainer) -> Iterator[ModelCheckpoint]:
    """The callbacks whose states name files, which Lightning removes."""
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint):
            yield callback


def plain_names(state: dict[str, Any]) -> dict[str, Any]:
    """The state of a ModelCheckpoint with names of files in place of paths."""
    names = {key: Path(state[key]).name for key in _PATHS if key in state}
    best = {Path(path).name: score for path, score in state["best_k_models"].items()}
    return {**state, **names, "best_k_models": best, "dirpath": ""}


def rooted(state: dict[str, Any], folder: str) -> dict[str, Any]:
    """The same in a folder, which may be another one than before."""

    def place(path: str) -> str:
        return os.path.join(folder, Path(path).name) if path else ""

    best = {place(path): score for path, score in state["best_k_models"].items()}
    paths = {key: place(state[key]) for key in _PATHS if key in state}
    return {**state, **paths, "best_k_models": best, "dirpath": folder}


def _check_names(state: Any, where: str, path: Path) -> None:
    """Plain names; or, as older versions wrote them, paths within the run's own folder."""
    _require(isinstance(state, dict), where, "is no dict")
    models = state.get("best_k_models", {})
    _require(isinstance(models, dict), f"{where}.best_k_models", "is no dict")
    folder = state.get("dirpath")
    _require(isinstance(folder, str | None), f"{where}.dirpath", "is no text")
    for name in (*(state[key] for key in _PATHS if key in state), *models):
        _require(isinstance(name, str), where, "names a file by something that is no text")
        plain = name in ("", Path(name).name) and name not in (".", "..")
        own = bool(folder) and name == os.path.join(folder, Path(name).name)
        same = own and Path(folder).name == path.resolve().parent.name
        _require(plain or same, where, f"names a file outside of its folder: {name}"[:200])
    state.setdefault("best_k_models", {})
    for key in ("best_model_score", "current_score", "kth_value", *models):
        value = models[key] if key in models else state.get(key)
        fits = value is None or _is_dense(value) and value.dim() == 0
        _require(fits, f"{where}.{key}", "is no number")
