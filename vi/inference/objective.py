"""What variational parameters climb: the ELBO of one q, whatever the run is trained by."""

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
    """lambda (B, *P) -> an estimate of ELBO(q_lambda) for each datum, (B,), from so many draws."""
    return lambda parameters: elbo(model, family.at(model, parameters), x, given, num_draws)


def elbo(
    model: Generative,
    q: Distribution,
    x: Tensor,
    given: Mapping[str, Tensor],
    num_draws: int = 1,
) -> Tensor:
    """E_q[log p(x|z)] - KL(q || p(z)) in nats, (B,); of log-weights where the KL is not known."""
    try:
        kl = closed_form_kl(q, model.prior(**given))
    except ConfigurationError:
        kl = None
    at = draw(q, num_draws, enumerate_support=True)
    if kl is None:
        return at.mean(model.log_joint(x, at.z, **given) - at.log_q)
    return at.mean(model.likelihood(at.z, **given).log_prob(x)) - kl
