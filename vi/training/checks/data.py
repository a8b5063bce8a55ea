"""Checks of data and model before the first step."""

import torch
from torch import Tensor

from vi.data.base import LoadedData, Split
from vi.errors import ConfigurationError, DataError
from vi.models.base import LatentVariableModel
from vi.support import first_of, outside, told
from vi.training.checks.magnitudes import check_magnitudes
from vi.training.checks.suggestions import blocks, warn_of_density, what_fits
from vi.training.settings import TrainerSettings


def check_data(data: LoadedData, model: LatentVariableModel, settings: TrainerSettings) -> None:
    """Refuse data that the model cannot be trained on; the error states numbers and an option.

    Raises:
        DataError: A split is empty, ``drop_last`` leaves no batch, values are NaN, outside the
            support of the likelihood or too large for networks, or the data do not have the size
            that the model expects.
    """
    _check_size(data, settings)
    _check_shape(data, model)
    for name, split in (("training", data.train), ("validation", data.val), ("test", data.test)):
        if split is not None:
            _check_missing(name, split, model)
            _check_values(name, split, data, model)
    check_magnitudes(data, model)
    warn_of_density(data.train, model)


def _check_size(data: LoadedData, settings: TrainerSettings) -> None:
    """Refuse an empty split, and a batch size for which an epoch has no batch."""
    n = len(data.train)
    empty = [k for k in ("train", "val", "test") if _length(getattr(data, k)) == 0]
    if empty:
        raise DataError(
            f"the {empty[0]} split is empty", hint="check the file and the fractions of the split"
        )
    if settings.steps_per_epoch(n) == 0:
        raise DataError(
            f"batch_size {settings.batch_size} is larger than the {n} training data, and "
            "drop_last leaves no batch",
            hint=f"trainer.batch_size={n} or less, or trainer.drop_last=false",
        )


def _length(split: Split | None) -> int:
    """Return the number of data of a split, or -1 if there is no split."""
    return -1 if split is None else len(split)


def _check_shape(data: LoadedData, model: LatentVariableModel) -> None:
    """Refuse data whose size, precision or context differs from that of the model."""
    numel, expected = (torch.Size(s).numel() for s in (data.shape, model.data_shape))
    if numel != expected:
        raise DataError(
            f"data gives {numel} features {tuple(data.shape)}, model expects {expected} "
            f"{tuple(model.data_shape)}",
            hint="build the model with data_shape equal to the shape of the data",
        )
    ours, theirs = _dtype(model), torch.get_default_dtype()
    if ours is not None and ours != theirs:
        raise DataError(
            f"data are {theirs}, the model is {ours}",
            hint="torch.set_default_dtype before the data are read, or model.to(dtype)",
        )
    wanted = model.context_dim
    if wanted and wanted != data.context_dim:
        raise ConfigurationError(
            f"the model conditions on a context of width {wanted}, data gives {data.context_dim}",
            hint="data.context=label gives one where the data have labels",
        )


def _dtype(model: LatentVariableModel) -> torch.dtype | None:
    """Return the precision that the data must have, or None if the model accepts any."""
    if model.exact() is not None:
        return None
    parameters = model.inference.own_parameters() or model.parameters()
    return next((p.dtype for p in parameters if p.is_floating_point()), None)


def _check_values(name: str, split: Split, data: LoadedData, model: LatentVariableModel) -> None:
    """Refuse values that are not finite or are outside the support of the likelihood."""
    head = model.data_head()
    first, offset = "", 0
    for x, known in blocks(split):
        if not x.sum().isfinite():
            _check_finite(name, x, known, offset, data)
        if head is not None and not first:
            bad = outside(head.support, x, known)
            first = first_of(bad, x, offset) if bad.any() else ""
        offset += len(x)
    if head is not None and first:
        raise DataError(
            told(head, blocks(split), first, of=f" in the {name} data"),
            hint=what_fits(split, data, model),
        )


def _check_missing(name: str, split: Split, model: LatentVariableModel) -> None:
    """Refuse missing entries if the model cannot omit them."""
    if split.observed is None or model.takes_missing:
        return
    raise DataError(
        f"{int((~split.observed).sum())} entries are missing in the {name} data, and "
        f"{type(model).__name__} needs all of them",
        hint="model=vae leaves missing entries out of the likelihood",
    )


def _check_finite(name: str, x: Tensor, known: Tensor, offset: int, data: LoadedData) -> None:
    """Refuse NaN and infinite values among the known entries."""
    ways = {
        "NaN": "remove or fill those items, or data.missing=mask leaves them out of p(x|z)",
        "infinite": "write numbers in their place",
    }
    for bad, word in ((x.isnan() & known, "NaN"), (x.isinf() & known, "infinite")):
        if bad.any():
            first = offset + int(bad.flatten(1).any(1).nonzero()[0])
            line = data.facts.get("data/first_missing_line")
            where = f"; in the file: line {line}" if line and word == "NaN" else ""
            raise DataError(
                f"{int(bad.sum())} {word} values in the {name} data (first: item {first}{where})",
                hint=ways[word],
            )
