"""log p(x) by a sum over all states of a discrete z."""

import torch
from jaxtyping import Float
from torch import Tensor

from vi.distributions.datum_noise import groups_of_rows
from vi.distributions.discrete import joint_states
from vi.evaluation.log_likelihood import DATA_AT_ONCE, chunks
from vi.fast import session
from vi.models.base import LatentVariableModel

MOST_STATES = 4096
"""The largest number of joint states that is summed over."""


@torch.no_grad()
def enumerated(
    model: LatentVariableModel, x: Tensor, **given: Tensor
) -> Float[Tensor, " B"] | None:
    """log p(x) = log sum_z p(x, z) in nats; None unless z is discrete with up to 4096 states.

    Args:
        model: Gives p(x, z).
        x: Data (B, *event).
        **given: What the model conditions on.
    """
    states = joint_states(model.prior(**given), MOST_STATES)
    if states is None:
        return None
    groups = []
    with session(None, model):
        for rows in groups_of_rows(len(x), DATA_AT_ONCE):
            group = {k: v[rows] for k, v in given.items()}
            groups.append(_summed(model, x[rows], states, group))
    return torch.cat(groups)


def _summed(
    model: LatentVariableModel, x: Tensor, states: Tensor, given: dict[str, Tensor]
) -> Float[Tensor, " B"]:
    sizes = list(chunks(len(states), x))
    parts = [model.log_joint(x, z, **given).double().logsumexp(0) for z in states.split(sizes)]
    return torch.stack(parts).logsumexp(0)
