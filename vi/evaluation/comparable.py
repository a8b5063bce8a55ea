"""Whether log p(x) of several models is the same quantity: same data, same unit."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions.constraints import Constraint

from vi.data.base import Split
from vi.errors import ConfigurationError, DataError
from vi.models.base import LatentVariableModel

_BLOCK = 1000  # data that are compared at once
_ROUNDING = 1e-6  # relative, between single and double precision


class Subject(NamedTuple):
    """A model and the data on which it is compared.

    Args:
        name: For messages.
        model: On the device of the data.
        split: Data that are the same at every visit.
    """

    name: str
    model: LatentVariableModel
    split: Split


def require_comparable(a: Subject, b: Subject) -> None:
    """Refuse two models whose log p(x) cannot be subtracted.

    Raises:
        ConfigurationError: One gives masses and the other densities, or they condition on other
            variables.
        DataError: Their data differ.
    """
    _require_same_unit(a, b)
    _require_same_given(a, b)
    if len(a.split) != len(b.split):
        sizes = f"{len(a.split)} and {len(b.split)}"
        raise _other_data(a, b, f"they have {sizes} data")
    for index in torch.arange(len(a.split)).split(_BLOCK):
        x, y = (_read(subject.split, index) for subject in (a, b))
        if x.shape != y.shape:
            raise _other_data(a, b, f"{x[0].numel()} and {y[0].numel()} entries")
        same = torch.isclose(x, y, rtol=_ROUNDING, atol=_ROUNDING).all(1)
        if not same.all():
            raise _other_data(a, b, f"first at number {int(index[~same][0])}")


def is_discrete(model: LatentVariableModel) -> tuple[bool, ...]:
    """Return whether p(x) is a mass and not a density: once, or for each column of a table.

    >>> from vi.models.ppca import PPCA
    >>> is_discrete(PPCA((4,), latent_dim=2))
    (False,)
    """
    head = model.data_head()
    kinds = (False,) if head is None else _kinds(head.support)
    return tuple(set(kinds)) if len(set(kinds)) == 1 else kinds


def _kinds(support: Constraint) -> tuple[bool, ...]:
    parts = getattr(support, "cseq", None)
    return (support.is_discrete,) if parts is None else tuple(p.is_discrete for p in parts)


def _require_same_unit(a: Subject, b: Subject) -> None:
    first, second = is_discrete(a.model), is_discrete(b.model)
    if first != second:
        raise ConfigurationError(
            f"log p(x) of {a.name} is of {_told(first)}, and that of {b.name} of {_told(second)}",
            hint="nats of a mass and of a density cannot be subtracted; choose likelihoods of "
            "the same kind",
        )


def _told(discrete: tuple[bool, ...]) -> str:
    if len(discrete) > 1:
        return f"a mass in {sum(discrete)} and a density in {discrete.count(False)} columns"
    return "a mass (discrete x)" if any(discrete) else "a density (real x)"


def _require_same_given(a: Subject, b: Subject) -> None:
    first, second = (_conditions(subject) for subject in (a, b))
    if first != second:
        raise ConfigurationError(
            f"{a.name} gives {_of(first)}, and {b.name} {_of(second)}",
            hint="compare models that condition on the same variables (data.context)",
        )


def _conditions(subject: Subject) -> list[str]:
    """Return the names of what the model conditions on."""
    return sorted(subject.split.given) if subject.model.context_dim else []


def _of(names: list[str]) -> str:
    return f"log p(x|{', '.join(names)})" if names else "log p(x)"


def _read(split: Split, index: Tensor) -> Tensor:
    """Return data (B, D) in double precision on the CPU, infinite where they are missing."""
    batch = split.batch(index.to(split.stored.device))
    x, observed = batch.x.double(), batch.given.get("observed")
    return (x if observed is None else x.where(observed, torch.inf)).flatten(1).cpu()


def _other_data(a: Subject, b: Subject, how: str) -> DataError:
    return DataError(
        f"{a.name} and {b.name} have different data: {how}",
        hint="compare runs that were trained with the same options data.*",
    )
