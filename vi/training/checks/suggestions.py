"""Suggestions of likelihoods whose support contains the data."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor
from torch.distributions.constraints import Constraint

from vi.config.build import build
from vi.config.registry import options, packaged
from vi.config.schema import parameters
from vi.data.base import LoadedData, Split, Values
from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.constraints import Grid
from vi.errors import ViError
from vi.models.base import LatentVariableModel
from vi.support import outside

_BLOCK = 4096
_SHOWN = 5
_MOST_LEVELS = 255
_MOST_VALUES = 1000  # largest number of values of a grid


def what_fits(split: Split, data: LoadedData, model: LatentVariableModel) -> str:
    """Return a hint with options under which the support contains the data, narrowest first."""
    bytes_ = split.stored.dtype == torch.uint8  # nothing else can be binarised
    options = data.option.arguments if bytes_ and data.option is not None else {}
    chosen = model.data_head()
    counts = "levels" in options and data.facts.get("data/levels", 1) != 1
    counts = counts and chosen is not None and _holds_undivided(chosen.support, split)
    ways = ["data.levels=1"] if counts else []
    if model.knows_posterior:
        ways += ["data.binarize=static"] if "binarize" in options else []
        return " or ".join([*ways, "model=gmm, which takes any number"])
    ways += ["data.binarize=dynamic"] if "binarize" in options else []
    ways += [_changed(chosen, split)] if isinstance(chosen, ConditionalDistribution) else []
    ways += [f"likelihood={'|'.join([*_fitting(split)][:_SHOWN])}"]
    return " or ".join(filter(None, ways))


def _holds_undivided(support: Constraint, split: Split) -> bool:
    """Return whether the support contains the bytes as counts, not divided into grey levels."""
    counts = Values(split.stored, split.given)
    counts.observed = split.observed
    return not any(outside(support, x, known).any() for x, known in blocks(counts))


def warn_of_density(split: Split, model: LatentVariableModel) -> None:
    """Warn if integer data meet a continuous likelihood."""
    chosen = model.data_head()
    if chosen is None or chosen.support.is_discrete:
        return
    if not all(_whole(x[known]) for x, known in blocks(split)):
        return
    better = [name for name, head in _fitting(split).items() if head.support.is_discrete]
    if better:
        warnings.warn(
            f"the data are whole numbers and {type(chosen).__name__} is a density of "
            f"{chosen.needs}; better choose likelihood={'|'.join(better[:_SHOWN])}",
            stacklevel=3,
        )


def blocks(split: Split) -> Iterator[tuple[Tensor, Tensor]]:
    """Iterate over all x (B, *event), with a mask of the entries that are known."""
    for index in torch.arange(len(split), device=split.stored.device).split(_BLOCK):
        x = split.values(index)
        known = split.observed
        yield x, torch.ones_like(x, dtype=torch.bool) if known is None else known[index]


def _whole(x: Tensor) -> bool:
    return bool((x == x.round()).all())


def _fitting(split: Split) -> Mapping[str, ConditionalDistribution]:
    """Return the packaged likelihoods whose support contains the data, narrowest first."""
    heads = _packaged()
    for x, known in blocks(split):
        heads = {n: h for n, h in heads.items() if not outside(h.support, x, known).any()}
    return dict(sorted(heads.items(), key=lambda item: _breadth(item[1].support)))


def _packaged() -> dict[str, ConditionalDistribution]:
    """Return every likelihood whose yaml gives all of its arguments."""
    heads = {}
    for name in options("likelihood"):
        with suppress(ViError):
            heads[name] = build("likelihood", packaged("likelihood", name))
    return heads


def _breadth(support: Constraint) -> int:
    """Return the number of test values of all kinds that a support contains."""
    whole, inner = torch.arange(300.0), torch.arange(255.0) / 255
    others = torch.tensor([1 / 3, 0.5, 0.123, -0.5, -1.0, -7.25, 1.5, 1e4, 1e4 + 0.5])
    return int(support.check(torch.cat([whole, inner, others])).sum())


def _changed(head: ConditionalDistribution, split: Split) -> str:
    """Return the settings that give a head the grid of the data; empty if there are none."""
    grid = _grid_of(split) if isinstance(head.support, Grid) else None
    if grid is None:
        return ""
    known = parameters(type(head))
    wanted = {k: v for k, v in grid.items() if k in known and head.arguments.get(k) != v}
    other = type(head)(**(head.arguments | wanted))
    if any(outside(other.support, x, known).any() for x, known in blocks(split)):
        return ""
    return " ".join(f"likelihood.{name}={value}" for name, value in wanted.items())


def _grid_of(split: Split) -> dict[str, Any] | None:
    """Return the coarsest grid 0, 1/levels, .. that contains all values, or None."""
    values = torch.zeros(1)
    for x, known in blocks(split):
        values = torch.cat([values.to(x), x[known].unique()]).unique()
        if len(values) > _MOST_VALUES or values[0] < 0:
            return None
    for levels in range(1, _MOST_LEVELS + 1):
        num = round(values[-1].item() * levels) + 1
        if num <= _MOST_VALUES and Grid(num, levels).check(values).all():
            return {"num_categories": num, "levels": levels}
    return None
