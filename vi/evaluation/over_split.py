"""A data set's numbers: bounds and evaluations, each datum with its own noise."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from vi.bounds.base import Bound
from vi.data.base import Split
from vi.distributions.datum_noise import datum_noise
from vi.errors import require_positive
from vi.evaluation.base import Evaluation
from vi.evaluation.columns import Columns, terms
from vi.fast import session
from vi.inputs import admitted, as_it_is
from vi.models.base import LatentVariableModel
from vi.progress import watched

_DRAWS = 10_000  # at least so many values of the bound in a mean, however few data there are


@torch.no_grad()
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
    """The means of a bound and its terms, and the numbers of an evaluation.

    A model that knows log p(x) exactly has it measured as ``log_evidence``.

    Args:
        model: In evaluation mode while this runs.
        split: On the model's device.
        bound: Evaluated ``repeats`` times.
        evaluation: What else to measure.
        seed: The noise of a datum is a function of (seed, datum).
        batch_size: Changes the speed only, never a number.
        limit: Only so many data, spread evenly over the split.
        repeats: Draws of the bound for each datum; None makes a mean of at least 10 000 values,
            however few data there are.

    Returns:
        Plain numbers by name, in nats per datum unless named otherwise.

    Raises:
        ConfigurationError: A batch_size or a limit that is not positive.
        DataError: Data that the model does not take.
    """
    require_positive("batch_size", batch_size)
    n = len(split) if limit is None else min(limit, len(split))
    require_positive("limit", n)
    repeats = repeats or -(-_DRAWS // n)
    draws = repeats + (evaluation.num_samples if evaluation is not None else 0)
    split = split.frozen(seed)
    bounds, columns, exact = Columns(), Columns(), Columns()
    with session(None, model, bound), _evaluating(model, bound), as_it_is():
        for index in watched(split.spread(n).split(batch_size)):
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
    summary = evaluation.summarize(whole) if evaluation is not None else {}
    return {**bounds.mean(), **summary, **exact.mean(), "count": n, "repeats": repeats}


@contextmanager
def _evaluating(*modules: nn.Module) -> Iterator[None]:
    modes = {part: part.training for module in modules for part in module.modules()}
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training
