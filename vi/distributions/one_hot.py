"""One-hot categorical variables."""

from torch import Tensor
from torch.distributions import Categorical, Distribution, OneHotCategorical


def one_hot(*, logits: Tensor | None = None, probs: Tensor | None = None) -> OneHotCategorical:
    """Return a one-hot variable z in {e_1 .. e_C} with these probabilities.

    torch's constructor always validates its arguments, even if told not to, and the check waits
    for the device.

    Args:
        logits: log p up to a constant, (*batch, C).
        probs: p, (*batch, C); exactly one of the two is given.

    >>> import torch
    >>> one_hot(probs=torch.tensor([0.2, 0.8])).log_prob(torch.tensor([0.0, 1.0]))
    tensor(-0.2231)
    """
    index = Categorical(probs=probs, logits=logits, validate_args=False)
    z = OneHotCategorical.__new__(OneHotCategorical)
    z._categorical = index
    Distribution.__init__(z, index.batch_shape, index.param_shape[-1:], validate_args=False)
    return z
