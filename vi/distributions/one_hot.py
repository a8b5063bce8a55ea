"""One of C, as a vector of zeros and a one."""

from torch import Tensor
from torch.distributions import Categorical, Distribution, OneHotCategorical


def one_hot(*, logits: Tensor | None = None, probs: Tensor | None = None) -> OneHotCategorical:
    """z in {e_1 .. e_C} with these probabilities, (*batch, C).

    torch's own constructor checks its arguments whatever it is told, and a check waits for the
    device.

    >>> import torch
    >>> one_hot(probs=torch.tensor([0.2, 0.8])).log_prob(torch.tensor([0.0, 1.0]))
    tensor(-0.2231)
    """
    index = Categorical(probs=probs, logits=logits, validate_args=False)
    z = OneHotCategorical.__new__(OneHotCategorical)
    z._categorical = index
    Distribution.__init__(z, index.batch_shape, index.param_shape[-1:], validate_args=False)
    return z
