"""Validation of a checkpoint: every entry is checked before any is used.

A state is compared with the states of the same part at the start and after a step.
"""

import copy
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.nn import Parameter
from torch.optim import Optimizer

from vi.errors import CheckpointError, ViError
from vi.fast import session
from vi.files.model_files import require_same
from vi.schemes.base import Context
from vi.training.resuming.ended import REASONS
from vi.training.resuming.entries import (
    SCALARS,
    Unfit,
    is_dense,
    is_number,
    require,
    require_count,
    require_like,
    require_number,
)
from vi.training.resuming.named_files import check_names, key_of

if TYPE_CHECKING:
    from vi.training.module import TrainingModule

_HINT = "give the checkpoints/last.ckpt of a run, as the run wrote it"
_SIZE = re.compile(r"\d{1,12}x\d{1,12}x\d{1,12}, \d{1,6} threads")  # size of a matrix product
_PLAN = session.plan_size


def check(checkpoint: dict[str, Any], module: "TrainingModule", path: Path) -> None:
    """Refuse a checkpoint that a run of these parts cannot have written.

    Raises:
        CheckpointError: An entry is missing, or has another type, shape or range.
    """
    check_weights(checkpoint, module, path)
    with _of_this_run(path):
        _check_parts(checkpoint, module)
        _check_run(checkpoint.get("run", {}))


def check_weights(checkpoint: dict[str, Any], module: "TrainingModule", path: Path) -> None:
    """Refuse a file whose entries have other types, or whose weights do not fit the model.

    Raises:
        CheckpointError: The file or its weights do not fit.
    """
    with _of_this_run(path):
        _check_entries(checkpoint)
        _check_weights(checkpoint["state_dict"], module)


@contextmanager
def _of_this_run(path: Path) -> Iterator[None]:
    """Turn an ``Unfit`` error inside the ``with`` block into one that names the file."""
    try:
        yield
    except Unfit as error:
        raise CheckpointError(
            f"{path} is not a checkpoint of this run: {error}", hint=_HINT
        ) from error


def check_callbacks(checkpoint: dict[str, Any], trainer: pl.Trainer, path: Path) -> None:
    """Refuse states that the callbacks of the run cannot have written.

    Raises:
        CheckpointError: A state has another form, or names a file in another folder.
    """
    states = checkpoint["callbacks"]
    with _of_this_run(path):
        for name, state in states.items():
            if name.startswith(ModelCheckpoint.__name__):
                check_names(state, name, path)
        for callback in trainer.callbacks:  # pyright: ignore[reportAttributeAccessIssue]
            ours = type(callback).__module__.startswith(("vi.", "lightning."))
            if ours and not isinstance(callback, ModelCheckpoint) and key_of(callback) in states:
                forms = getattr(callback, "forms", [callback.state_dict()])
                require_like(states[key_of(callback)], forms, key_of(callback))


def _check_entries(checkpoint: dict[str, Any]) -> None:
    """Check the types of the entries, the counters and the account of evaluations."""
    kinds = {"state_dict": Mapping, "scheme": dict, "spent": dict, "callbacks": dict}
    kinds |= {"optimizer_states": list, "lr_schedulers": list}
    for name, kind in kinds.items():
        require(name in checkpoint, name, "is missing")
        require(isinstance(checkpoint[name], kind), name, f"is not a {kind.__name__}")
    require_count(checkpoint.get("global_step"), "global_step")
    require_count(checkpoint.get("epoch"), "epoch")
    require_count(
        checkpoint.get("threads", 1), "threads", least=1, most=max(1024, os.cpu_count() or 1)
    )
    spent = checkpoint["spent"]
    require(spent.keys() == {"seconds", "encoder", "decoder"}, "spent", "has other entries")
    for name, value in spent.items():
        require_number(value, f"spent.{name}")
    _check_arithmetic(checkpoint)
    for name in checkpoint["callbacks"]:
        require(isinstance(name, str), "callbacks", "has a key that is not a text")


def _check_arithmetic(checkpoint: dict[str, Any]) -> None:
    """Check the plans of linear layers and the facts about the machine."""
    plans, machine = session.plans_of(checkpoint), checkpoint.get("arithmetic", {})
    for name, value in (*(("products", p) for p in plans), ("arithmetic", machine)):
        require(isinstance(value, dict), name, "is not a dict")
    for size, plan in chain.from_iterable(p.items() for p in plans):
        known = isinstance(size, str) and _SIZE.fullmatch(size) and isinstance(plan, list)
        fits = known and len(plan) == _PLAN and all(type(v) is bool for v in plan)
        require(fits, "products", "does not contain plans")
    for name, value in machine.items():
        require(type(value) in SCALARS, f"arithmetic.{name}", "is not a plain value")


def _check_weights(weights: Mapping[str, Any], module: "TrainingModule") -> None:
    """Check that the weights are dense tensors with the model's names, shapes and types."""
    ours = module.state_dict()
    for name, value in weights.items():
        require(isinstance(name, str) and is_dense(value), f"state_dict.{name}", "is not a tensor")
    require_same(ours, weights)
    for name, value in weights.items():
        dtype = ours[name].dtype
        require(value.dtype == dtype, name, f"is {value.dtype}, the model's is {dtype}")
        require(not value.isnan().any() or ours[name].isnan().any(), name, "contains NaN")


def _check_parts(checkpoint: dict[str, Any], module: "TrainingModule") -> None:
    """Check the states of optimisers, schedules and scheme against those of fresh copies."""
    scheme, bound, model = copy.deepcopy((module.scheme, module.bound, module.model))
    optimizers, schedules = scheme.configure(model, bound)
    states = checkpoint["optimizer_states"]
    states = states if optimizers else [state for state in states if state]  # Lightning's own
    require(len(states) == len(optimizers), "optimizer_states", f"are {len(states)}")
    for i, (state, optimizer) in enumerate(zip(states, optimizers, strict=True)):
        _check_optimizer(state, optimizer, f"optimizer_states[{i}]")
    states = checkpoint["lr_schedulers"]
    require(len(states) == len(schedules), "lr_schedulers", f"are {len(states)}")
    for i, (state, schedule) in enumerate(zip(states, schedules, strict=True)):
        require_like(state, [schedule.state_dict()], f"lr_schedulers[{i}]")
    forms = [copy.deepcopy(scheme.state_dict())]
    with suppress(ViError, RuntimeError, ValueError), torch.random.fork_rng([]):
        batch = module.data.train.batch(torch.arange(min(2, len(module.data.train))))
        scheme.step(Context(model, bound, optimizers), batch)
        forms.append(copy.deepcopy(scheme.state_dict()))
        scheme.end_epoch(bound, model, batch)
        forms.append(copy.deepcopy(scheme.state_dict()))
    require_like(checkpoint["scheme"], forms, "scheme")


def _check_optimizer(state: Any, optimizer: Optimizer, where: str) -> None:
    """Check the groups and the entries of an optimiser against its parameters."""
    fresh = optimizer.state_dict()
    known = isinstance(state, dict) and state.keys() == fresh.keys()
    require(known, where, f"is not a state of {type(optimizer).__name__}")
    groups, ours = state["param_groups"], fresh["param_groups"]
    same = isinstance(groups, list) and len(groups) == len(ours)
    require(same, f"{where}.param_groups", "has another length")
    for group, our in zip(groups, ours, strict=True):
        known = isinstance(group, dict) and group.keys() <= our.keys()
        require(known and group.get("params") == our["params"], f"{where}.param_groups", "differ")
        for name, value in group.items():
            require_like(value, [our[name]], f"{where}.{name}")
    parameters = dict(enumerate(p for g in optimizer.param_groups for p in g["params"]))
    require(isinstance(state["state"], dict), f"{where}.state", "is not a dict")
    for number, entries in state["state"].items():
        known = number in parameters and isinstance(entries, dict)
        require(
            known, f"{where}.state", f"has an entry for parameter {number}, which does not exist"
        )
        for name, value in entries.items():
            fits = type(value) in SCALARS or _belongs(value, parameters[number])
            require(fits, f"{where}.state[{number}].{name}", "does not fit its parameter")


def _belongs(value: Any, parameter: Parameter) -> bool:
    """Return whether a value is a scalar, or fits the parameter, its rows or its columns."""
    if not is_dense(value) or value.isnan().any():
        return False
    if value.dim() == 0:
        return value.dtype in (torch.float32, torch.int64, parameter.dtype)
    pairs = zip(value.shape, parameter.shape, strict=False)
    fits = value.dim() == parameter.dim() and all(n in (1, m) for n, m in pairs)
    layout = value.is_contiguous() or value.stride() == parameter.stride()
    return fits and layout and value.dtype == parameter.dtype


def _check_run(run: Any) -> None:
    """Check the facts, limits, latest values and means of the run."""
    require(isinstance(run, dict), "run", "is not a dict")
    for name in ("facts", "limits", "latest", "means"):
        require(isinstance(run.get(name, {}), dict), f"run.{name}", "is not a dict")
        require(
            all(isinstance(k, str) for k in run.get(name, {})),
            f"run.{name}",
            "has a key that is not a text",
        )
    require_count(run.get("seed", 0), "run.seed", most=(1 << 63) - 1)
    for name in ("open", "converged"):
        require(type(run.get(name, False)) is bool, f"run.{name}", "is neither true nor false")
    ended = run.get("ended", [])
    known = isinstance(ended, list) and all(reason in REASONS for reason in ended)
    require(known, "run.ended", f"is not among {', '.join(REASONS)}")
    for name, limit in run.get("limits", {}).items():
        require(limit is None or is_number(limit), f"run.limits.{name}", "is not a number")
    for name, value in run.get("latest", {}).items():
        require(is_number(value), f"run.latest.{name}", "is not a number")
    for name, rows in run.get("means", {}).items():
        known = isinstance(rows, list) and all(is_dense(r) and r.dim() == 1 for r in rows)
        require(known, f"run.means.{name}", "does not contain columns")
