"""Means of bounds and evaluations over a data set, with separate noise for each datum."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from jaxtyping import Float64, Int64
from torch import Tensor, nn

from vi.bounds.base import Bound
from vi.data.base import Split
from vi.distributions.datum_noise import datum_noise
from vi.errors import require_positive
from vi.evaluation.base import Evaluation
from vi.evaluation.columns import Columns, replaced, terms
from vi.fast import session
from vi.inputs import admitted, as_it_is
from vi.models.base import LatentVariableModel
from vi.progress import watched

_DRAWS = 10_000  # least number of values of the bound in a mean, even for few data


class Measured(NamedTuple):
    """What was measured of a split.

    Args:
        numbers: Plain numbers of the data set by name, in nats per datum unless the name says
            otherwise.
        columns: The value of each datum by name: the bound and its terms (the mean of the
            repeats), the columns of the evaluation, and ``log_evidence`` of an exact model.
        index: The row of each datum in its split.
    """

    numbers: dict[str, float]
    columns: dict[str, Float64[Tensor, " N"]]
    index: Int64[Tensor, " N"]


def evaluate(
    model: LatentVariableModel,
    split: Split,
    bound: Bound,
    evaluation: Evaluation | None = None,
    *,
    seed: int = 0,
    batch_size: int = 500,
    limit: int | None = None,
    repeats: int | None = None,
) -> dict[str, float]:
    """Return the means of a bound and its terms over a split, and the numbers of an evaluation.

    These are the numbers of ``measure``, which takes the same arguments and returns the value of
    each datum too.
    """
    return measure(
        model,
        split,
        bound,
        evaluation,
        seed=seed,
        batch_size=batch_size,
        limit=limit,
        repeats=repeats,
    ).numbers


@torch.no_grad()
def measure(
    model: LatentVariableModel,
    split: Split,
    bound: Bound,
    evaluation: Evaluation | None = None,
    *,
    seed: int = 0,
    batch_size: int = 500,
    limit: int | None = None,
    repeats: int | None = None,
) -> Measured:
    """Measure a bound, its terms and an evaluation on the data of a split.

    If the model has an exact log p(x), its mean is returned as ``log_evidence``. The noise of a
    datum is a function of the seed and the datum, so the numbers do not depend on the batch size.

    Args:
        model: Put in evaluation mode while this runs.
        split: Data on the model's device.
        bound: Evaluated ``repeats`` times for each datum.
        evaluation: What else to measure; None measures the bound only.
        seed: The noise of a datum is a function of (seed, datum).
        batch_size: Affects the speed only, never a number.
        limit: Evaluate only this many data, spread evenly over the split.
        repeats: Draws of the bound for each datum; None takes as many as make the mean one of at
            least 10 000 values, even for few data.

    Returns:
        The numbers of the data set, and the value of each datum.

    Raises:
        ConfigurationError: ``batch_size`` or ``limit`` is not positive.
        DataError: The model cannot take the data.
    """
    require_positive("batch_size", batch_size)
    n = len(split) if limit is None else min(limit, len(split))
    require_positive("limit", n)
    repeats = repeats or -(-_DRAWS // n)
    draws = repeats + (evaluation.num_samples if evaluation is not None else 0)
    split = split.frozen(seed)
    bounds, columns, exact = Columns(), Columns(), Columns()
    with session(None, model, bound), evaluating(model, bound), as_it_is():
        first = 1.0 if evaluation is None else evaluation.share(model, n)
        for index in watched(split.spread(n).split(batch_size), first):
            batch = split.batch(index)
            given = admitted(model, batch.x, **batch.given)
            x = given.pop("x")
            with datum_noise(seed, index):
                for _ in watched(range(repeats), repeats / draws):
                    bounds.add(terms(bound(model, x, **given)))
            if evaluation is not None:
                with datum_noise(seed + 1, index):
                    columns.add(evaluation(model, x, **given))
            evidence = model.log_evidence(x, **given)
            if evidence is not None:
                exact.add({"log_evidence": evidence})
        whole = {name: columns.column(name) for name in columns.columns}
        if evaluation is not None:
            whole = _escalated(evaluation, whole, model, split, split.spread(n), seed, batch_size)
            whole |= evaluation.of_all(whole)
    summary = evaluation.summarize(whole) if evaluation is not None else {}
    numbers = {**bounds.mean(), **summary, **exact.mean(), "count": n, "repeats": repeats}
    columns = bounds.by_datum(repeats) | whole | exact.by_datum()
    return Measured(numbers, columns, split.spread(n).cpu())


def _escalated(
    evaluation: Evaluation,
    whole: dict[str, Tensor],
    model: LatentVariableModel,
    split: Split,
    index: Tensor,
    seed: int,
    batch_size: int,
) -> dict[str, Tensor]:
    """Measure again what the evaluation wants to know better, pass after pass."""
    passes = 1
    while (more := evaluation.further(model, whole)) is not None:
        columns, passes = Columns(), passes + 1
        part = index[more.rows.to(index.device)].split(batch_size)
        for rows in watched(part, more.share):
            batch = split.batch(rows)
            given = admitted(model, batch.x, **batch.given)
            with datum_noise(seed + passes, rows):
                columns.add(more.evaluation(model, given.pop("x"), **given))
        found = {name: columns.column(name) for name in columns.columns}
        whole = replaced(whole, more.rows, found)
    return whole


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Put modules in evaluation mode inside the ``with`` block; restore all modes after it."""
    modes = {part: part.training for module in modules for part in module.modules()}
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training
