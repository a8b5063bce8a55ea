"""Whether two distributions live on one space."""

from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.prior import Prior
from vi.errors import ConfigurationError, SupportMismatch


def require_same_latent(posterior: ConditionalDistribution, prior: Prior | Distribution) -> None:
    """Refuse a q(z|x) over another space than that of p(z).

    Raises:
        ConfigurationError: Their event shapes or supports differ.
    """
    _require_same_support(posterior, prior)
    if posterior.event_shape != prior.event_shape:
        raise ConfigurationError(
            f"posterior has latent shape {tuple(posterior.event_shape)}, "
            f"prior has {tuple(prior.event_shape)}",
            hint="give both the same latent_dim",
        )


def _require_same_support(posterior: ConditionalDistribution, prior: Prior | Distribution) -> None:
    q, p = support_name(posterior.support), support_name(prior.support)
    if q != p:
        raise SupportMismatch(
            f"posterior {type(posterior).__name__} lives on {q}, "
            f"prior {type(prior).__name__} on {p}",
            hint="choose a posterior and a prior with the same support",
            supports=(q, p),
        )


def support_name(support: Constraint | None) -> str:
    """The support of one entry of the event, by name.

    >>> from torch.distributions import constraints
    >>> support_name(constraints.real_vector)
    'Real'
    """
    return str(getattr(support, "base_constraint", support)).removesuffix("()")
