"""Check that q(z|x) and p(z) are distributions over the same space."""

from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.prior import Prior
from vi.errors import ConfigurationError, SupportMismatch


def require_same_latent(posterior: ConditionalDistribution, prior: Prior | Distribution) -> None:
    """Raise an error unless q(z|x) and p(z) have the same support and event shape.

    Raises:
        SupportMismatch: Their supports differ.
        ConfigurationError: Their event shapes differ.

    >>> from vi.posteriors.diagonal_gaussian import DiagonalGaussian
    >>> from vi.priors.standard_normal import StandardNormal
    >>> require_same_latent(DiagonalGaussian(2), StandardNormal(3))
    Traceback (most recent call last):
    vi.errors.ConfigurationError: posterior has latent shape (2,), prior has (3,)
    """
    _require_same_support(posterior, prior)
    if posterior.event_shape != prior.event_shape:
        raise ConfigurationError(
            f"posterior has latent shape {tuple(posterior.event_shape)}, "
            f"prior has {tuple(prior.event_shape)}",
            hint="give both the same latent_dim",
        )


def _require_same_support(posterior: ConditionalDistribution, prior: Prior | Distribution) -> None:
    """Raise ``SupportMismatch`` unless the supports of single entries have the same name."""
    q, p = support_name(posterior.support), support_name(prior.support)
    if q != p:
        raise SupportMismatch(
            f"posterior {type(posterior).__name__} lives on {q}, "
            f"prior {type(prior).__name__} on {p}",
            hint="choose a posterior and a prior with the same support",
            supports=(q, p),
        )


def support_name(support: Constraint | None) -> str:
    """Return the name of the support of one entry of the event.

    >>> from torch.distributions import constraints
    >>> support_name(constraints.real_vector)
    'Real'
    """
    return str(getattr(support, "base_constraint", support)).removesuffix("()")
