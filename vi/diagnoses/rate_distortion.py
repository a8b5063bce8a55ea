"""Rate and distortion of models: how many nats z tells, and how badly it then describes x."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from vi.bounds.base import Bound
from vi.bounds.beta import Beta
from vi.data.base import Split
from vi.evaluation.over_split import measure
from vi.files.numbers import Number
from vi.models.base import LatentVariableModel

_ERRORS = 2.0  # standard errors by which a point must be worse to be called so
_COLLAPSED = 0.1  # nats of rate below which z is not used


class RatePoint(NamedTuple):
    """A model in the plane of rate and distortion.

    Args:
        label: What it is called in the picture, such as beta = 4.
        beta: Weight of the KL in its training; 1 for the ELBO, None for other bounds.
        rate: R = E_x KL(q(z|x) || p(z)).
        distortion: D = -E_x E_q[log p(x|z)]; -ELBO = R + D.
        elbo: The ELBO.

    Reference: Alemi, Poole, Fischer, Dillon, Saurous and Murphy, 2018,
    https://arxiv.org/abs/1711.00464
    """

    label: str
    beta: float | None
    rate: Number
    distortion: Number
    elbo: Number


def rate_point(
    model: LatentVariableModel, split: Split, bound: Bound, seed: int, label: str
) -> RatePoint:
    """Measure the rate and the distortion of a model, with standard errors over data.

    Args:
        model: The trained model.
        split: Data on its device.
        bound: The bound of its training, whose terms are measured.
        seed: Seed of the noise.
        label: What to call a model that was not trained with a weight of the KL.
    """
    found = measure(model, split, bound, seed=seed).columns

    def mean(name: str, column: str, sign: int = 1) -> Number:
        values = sign * found[column]
        error = values.std().item() / math.sqrt(len(values)) if len(values) > 1 else None
        return Number(name, values.mean().item(), data_error=error)

    beta = bound.beta if isinstance(bound, Beta) else 1.0 if bound.is_elbo else None
    label = label if beta is None else f"β = {beta:g}"
    parts = mean("rate", "kl"), mean("distortion", "reconstruction", -1), mean("elbo", "elbo")
    return RatePoint(label, beta, *parts)


def verdict(points: Sequence[RatePoint]) -> list[str]:
    """Return what the points say: the best ELBO, models without a latent, and poor optima."""
    best = max(points, key=lambda point: point.elbo.value)
    said = [f"the ELBO is highest at {best.label}: {best.elbo.value:.3f} nats per datum"]
    empty = [point.label for point in points if point.rate.value < _COLLAPSED]
    if empty:
        said.append(f"z is not used at {', '.join(empty)}: the rate is below {_COLLAPSED} nats")
    for worse in points:
        better = next((p for p in points if _is_better(p, worse)), None)
        if better is not None:
            said.append(
                f"{worse.label} has more rate and more distortion than {better.label}: another "
                "optimum, or training that has not ended"
            )
    return said


def _is_better(a: RatePoint, b: RatePoint) -> bool:
    """Whether a has less rate and less distortion than b, beyond two standard errors each."""
    pairs = (a.rate, b.rate), (a.distortion, b.distortion)
    return all(x.value + _ERRORS * (y.data_error or 0) < y.value for x, y in pairs)
