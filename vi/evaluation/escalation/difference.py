"""The mean log p(x) of all data, where some of those that need it have a better estimate."""

import math
from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from vi.evaluation.annealing.spread import BIAS
from vi.evaluation.escalation.progress import Reached
from vi.evaluation.escalation.rungs import Rung
from vi.evaluation.importance_sampling import LEAST_SHARE


def difference_estimate(
    columns: Mapping[str, Float[Tensor, " N"]], reached: Reached
) -> dict[str, float]:
    """The difference estimator of mean_n log p(x_n), its standard error, and an interval.

    m = mean_n(v_n) + |U| / N mean_S(w_n - v_n), with v from the encoder's q, U the data that it
    does not fit, S a random part of them, and w their last estimates. Without U, m = mean_n(v_n).
    The interval is [m - 2 se, m + 2 se + b], with b the mean by the same formula of 2 se_n^2, or
    4 se_n^2 of annealed data, which makes room for the bias. It is stated if 95 % of the data are
    trusted, those of S in the place of U. Else m is a lower bound on average, and if S is
    not all of U, its lower end is stated alone: m itself may then lie above log p(x) by chance.

    Args:
        columns: Of the escalation, (N,) each.
        reached: What was read from them.
    """
    value, squares = columns["log_likelihood"], columns["standard_error"].square()
    n, part = len(value), reached.escalated
    first, unfit = columns.get("encoder_log_likelihood", value), reached.unfit
    fit, whole = ~unfit & ~part, int((unfit | part).sum())

    def mean(column: Tensor) -> float:
        of_rest = column[fit].sum().item() / n
        return of_rest + (whole / n * column[part].mean().item() if part.any() else 0.0)

    climbed = (value - first)[part]
    waiting = whole - len(climbed)
    variance = squares[fit if len(climbed) else fit | unfit].sum().item() / n**2
    estimate = first.mean().item()
    if len(climbed):
        estimate += whole / n * climbed.mean().item()
        variance += (whole / n) ** 2 * squares[part].mean().item() / len(climbed)
        if waiting:
            sampled = waiting / whole * climbed.var().item() / len(climbed)
            variance += (whole / n) ** 2 * sampled
    error, trusted = math.sqrt(variance), mean(reached.trusted.double())
    numbers = {
        "log_likelihood": estimate,
        "log_likelihood_se": error,
        "log_likelihood_reliable": trusted,
    }
    if waiting:
        numbers["rung_waiting"] = waiting / n
    if trusted >= LEAST_SHARE or (waiting and len(climbed)):
        numbers["log_likelihood_lower"] = estimate - 2 * error
    if trusted >= LEAST_SHARE:
        room = squares * (2 + (BIAS - 2) * (columns["rung"] == Rung.ANNEALED))
        numbers["log_likelihood_upper"] = estimate + 2 * error + mean(room)
    return numbers
