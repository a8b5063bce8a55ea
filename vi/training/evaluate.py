"""A data set's numbers: bounds and evaluations, each datum with its own noise."""

import torch

from vi.bounds.base import Bound
from vi.data.base import Split
from vi.distributions.datum_noise import datum_noise
from vi.evaluation.base import Evaluation
from vi.models.base import LatentVariableModel
from vi.training.means import Means, terms

_DRAWS = 10_000  # at least so many values of the bound in a mean, however few data there are


@torch.no_grad()
def evaluate(
    model: LatentVariableModel,
    split: Split,
    bound: Bound,
    evaluation: Evaluation,
    *,
    seed: int = 0,
    batch_size: int = 500,
    limit: int | None = None,
) -> dict[str, float]:
    """The means of a bound and its terms, and the numbers of an evaluation.

    Args:
        model: In evaluation mode while this runs.
        split: On the model's device.
        bound: Evaluated as often as small sets need for a mean of 10 000 values; ``repeats`` says
            how often that was.
        evaluation: What else to measure.
        seed: The noise of a datum is a function of (seed, datum).
        batch_size: Changes the speed only, never a number.
        limit: Only the first so many data.

    Returns:
        Plain numbers by name, in nats per datum unless named otherwise.
    """
    training = model.training, bound.training
    model.eval()
    bound.eval()
    bounds, columns = Means(), Means()
    n = len(split) if limit is None else min(limit, len(split))
    repeats = -(-_DRAWS // n)
    for index in torch.arange(n, device=split.stored.device).split(batch_size):
        batch = split.batch(index)
        with datum_noise(seed, index):
            for _ in range(repeats):
                bounds.add(terms(bound(model, batch.x, **batch.given)))
        with datum_noise(seed + 1, index):
            columns.add(evaluation(model, batch.x, **batch.given))
    model.train(training[0])
    bound.train(training[1])
    whole = {name: columns.column(name) for name in columns.columns}
    return {**bounds.mean(), **evaluation.summarize(whole), "count": n, "repeats": repeats}
