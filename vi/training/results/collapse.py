"""Whether the latents of a trained model are used, and what to do where they are not."""

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

_DATA = 1000  # that are looked at
_FEWEST = 2  # that have a variance
_NAMED = 12  # dimensions; of more only the number is told
_NATS = 0.1  # of a KL with which a latent is as good as none
_ACTIVE, _UNUSED = "test/active_units", "test/unused_dimensions"


@torch.no_grad()
def measure_use(model: LatentVariableModel, split: Split, seed: int) -> dict[str, Any]:
    """How many latent dimensions answer to the data, and the numbers of those that do not.

    A dimension is used where Var_x(E_q[z_d|x]) > 0.01 (``active_units``). Nothing is said of a
    latent whose KL does not fall into dimensions, such as a mixture's or a flow's.

    Reference: Burda, Grosse and Salakhutdinov, 2016, https://arxiv.org/abs/1509.00519

    Args:
        model: In evaluation mode.
        split: A thousand of its data are looked at.
        seed: Of their noise, where inference draws.

    Returns:
        ``test/active_units`` and ``test/unused_dimensions``, from 1, with commas between them.
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
    """What the closing table says of unused dimensions; empty where all are used.

    Args:
        metrics: Of the run.
        bound: That was trained; what helps depends on it.
    """
    if _ACTIVE not in metrics:
        return ""
    unused = [d for d in str(metrics.get(_UNUSED) or "").split(",") if d]
    count = len(unused) + int(metrics[_ACTIVE])
    few = f"{len(unused)} of {count} latent dimensions are unused"
    if len(unused) == count:
        few = f"all {count} latent dimensions are unused" if count > 1 else "the latent is unused"
    if len(unused) == count or metrics["test/kl"] < _NATS:
        said = "z says next to nothing about x"
        return f"{few}: KL {metrics['test/kl']:.2f} nats, {said}; {_help(bound)}"
    named = f": {', '.join(unused)}" if len(unused) <= _NAMED else ""
    return f"{few}{named}" if unused else ""


def _help(bound: Bound) -> str:
    if isinstance(bound, Beta) and bound.beta > 1:
        return f"lower bound.beta={bound.beta:g}, whose KL is weighted so"
    if isinstance(bound, Beta) and bound.warmup_steps:
        return "train longer, or with a larger bound.warmup_steps"
    return "let the KL enter slowly: bound=beta bound.beta=1 bound.warmup_steps=2000"
