"""The objective of refinement: the ELBO of one q, whatever bound the model is trained with."""

from collections.abc import Callable, Mapping

from torch import Tensor
from torch.distributions import Distribution

from vi.distributions.draw import draw
from vi.distributions.kl import closed_form_kl
from vi.errors import ConfigurationError
from vi.inference.base import Generative, Parametric


def objective(
    family: Parametric,
    model: Generative,
    x: Tensor,
    given: Mapping[str, Tensor],
    num_draws: int = 1,
) -> Callable[[Tensor], Tensor]:
    """Return the function lambda (B, *P) -> an estimate of ELBO(q_lambda), (B,), in nats.

    Args:
        family: Turns lambda into q.
        model: Gives p(x, z).
        x: Data (B, *event).
        given: What the model conditions on.
        num_draws: Number of draws in each estimate.
    """
    return lambda parameters: elbo(model, family.at(model, parameters), x, given, num_draws)


def elbo(
    model: Generative,
    q: Distribution,
    x: Tensor,
    given: Mapping[str, Tensor],
    num_draws: int = 1,
) -> Tensor:
    """Return E_q[log p(x|z)] - KL(q || p(z)) in nats, (B,).

    If the KL has no closed form, the estimate is the mean of log p(x, z) - log q(z) instead. A
    discrete z with few states is enumerated, so that the expectation is exact.

    Args:
        model: Gives p(x, z).
        q: q(z|x), batch_shape (B,).
        x: Data (B, *event).
        given: What the model conditions on.
        num_draws: Number of draws.
    """
    try:
        kl = closed_form_kl(q, model.prior(**given))
    except ConfigurationError:
        kl = None
    at = draw(q, num_draws, enumerate_support=True)
    if kl is None:
        return at.mean(model.log_joint(x, at.z, **given) - at.log_q)
    return at.mean(model.likelihood(at.z, **given).log_prob(x)) - kl
