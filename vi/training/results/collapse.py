"""Detection of unused latents in a trained model (posterior collapse), with advice."""

from collections.abc import Mapping
from typing import Any

import torch

from vi.bounds.base import Bound
from vi.bounds.beta import Beta
from vi.data.base import Split
from vi.diagnostics.active_units import are_active
from vi.diagnostics.kl_per_dimension import over_dimensions
from vi.distributions.datum_noise import datum_noise
from vi.errors import ConfigurationError
from vi.fast import session
from vi.inputs import as_it_is
from vi.models.base import LatentVariableModel

_DATA = 1000  # largest number of data that are used
_FEWEST = 2  # smallest number of data with a variance
_NAMED = 12  # most unused dimensions that are listed by number
_NATS = 0.1  # KL below which a latent carries almost no information
_ACTIVE, _UNUSED = "test/active_units", "test/unused_dimensions"


@torch.no_grad()
def measure_use(model: LatentVariableModel, split: Split, seed: int) -> dict[str, Any]:
    """Return the number of active latent dimensions and the list of unused ones.

    A dimension is active if Var_x(E_q[z_d|x]) > 0.01 (see ``active_units``). The result is empty
    for a latent whose KL does not split into dimensions, as with a mixture or a flow.

    Reference: Burda, Grosse and Salakhutdinov, 2016, https://arxiv.org/abs/1509.00519

    Args:
        model: Model in evaluation mode.
        split: Data, of which up to a thousand are used; fewer than two give an empty result.
        seed: Seed of the noise, for inferences that draw samples.

    Returns:
        ``test/active_units``, and ``test/unused_dimensions``: numbers from 1, joined by commas.
    """
    if len(split) < _FEWEST:
        return {}
    split = split.frozen(seed)
    index = split.spread(min(_DATA, len(split)))
    batch = split.batch(index)
    with session(None, model), as_it_is(), datum_noise(seed, index):
        q, p = model.posterior(batch.x, **batch.given), model.prior(**batch.given)
    try:
        for distribution in (q, p):
            over_dimensions(distribution)
    except ConfigurationError:
        return {}
    used = are_active(q.mean).flatten()
    unused = (~used).nonzero().flatten() + 1
    return {_ACTIVE: int(used.sum()), _UNUSED: ",".join(map(str, unused.tolist()))}


def told_use(metrics: Mapping[str, Any], bound: Bound) -> str:
    """Return the note on unused dimensions below the closing table; empty if all are used.

    Args:
        metrics: Metrics of the run.
        bound: The trained bound, on which the advice depends.
    """
    if _ACTIVE not in metrics:
        return ""
    unused = [d for d in str(metrics.get(_UNUSED) or "").split(",") if d]
    count = len(unused) + int(metrics[_ACTIVE])
    few = f"{len(unused)} of {count} latent dimensions are unused"
    if len(unused) == count:
        few = f"all {count} latent dimensions are unused" if count > 1 else "the latent is unused"
    if len(unused) == count or metrics["test/kl"] < _NATS:
        said = "z carries almost no information about x"
        return f"{few}: KL {metrics['test/kl']:.2f} nats, {said}; {_help(bound)}"
    named = f": {', '.join(unused)}" if len(unused) <= _NAMED else ""
    return f"{few}{named}" if unused else ""


def _help(bound: Bound) -> str:
    """Return advice against collapse for this bound."""
    if isinstance(bound, Beta) and bound.beta > 1:
        return f"lower bound.beta={bound.beta:g}, whose KL is weighted so"
    if isinstance(bound, Beta) and bound.warmup_steps:
        return "train longer, or with a larger bound.warmup_steps"
    return "let the KL enter slowly: bound=beta bound.beta=1 bound.warmup_steps=2000"
