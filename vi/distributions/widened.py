"""A proposal of which one half is wider: draws beyond the tails of a q that is too narrow."""

import math
from functools import partial

import torch
from torch import Tensor
from torch.distributions import Distribution

from vi.distributions.protocols import OnePass, ScoredDraws
from vi.distributions.support import support_name
from vi.errors import ConfigurationError
from vi.math import Shape


class Widened(OnePass, Distribution):
    """Mixture r(z) = q(z) / 2 + q_s(z) / 2 of q and of q stretched about its mean m.

        q_s(z) = q(m + (z - m) / s) / s^Z

    ``rsample`` draws one half from each (one more from q if their number is odd), and the density
    has the same proportions, so that the mean of f(z_k) / r(z_k) is unbiased for the integral of
    f, whatever q is (the balance heuristic). m only has to be a fixed point.

    Args:
        q: Distribution of real vectors, with a mean and a density.
        factor: s, above 1.

    Raises:
        ConfigurationError: q is not a distribution of real vectors with a mean, or ``factor`` is
            not a number above 1.

    Reference: Veach and Guibas, 1995, https://doi.org/10.1145/218380.218498; Hesterberg, 1995,
    https://doi.org/10.1080/00401706.1995.10484303, for defensive mixtures

    >>> from torch.distributions import Independent, Normal
    >>> q = Independent(Normal(torch.zeros(5, 2), 1.0), 1)
    >>> z, log_r = Widened(q, 2.0).rsample_and_log_prob((6,))
    >>> z.shape, log_r.shape
    (torch.Size([6, 5, 2]), torch.Size([6, 5]))
    """

    arg_constraints = {}  # pyright: ignore

    def __init__(self, q: Distribution, factor: float) -> None:
        super().__init__(q.batch_shape, q.event_shape, validate_args=False)
        require_factor(factor)
        self.q, self.factor, self.loc = q, factor, _centre(q)
        self.log_volume = math.log(factor) * q.event_shape.numel()

    def rsample_and_density(self, sample_shape: Shape = ()) -> ScoredDraws:
        """Draw K times, (K, *batch, *event), or K times for each encoder of an ensemble.

        Each draw of q is kept or stretched, so that the density of one of the two parts comes
        with the draw.
        """
        (num_samples,) = sample_shape
        z, density = self._of_q(sample_shape)
        plain = (num_samples - num_samples // 2) * (len(z) // num_samples)
        factors = [1.0] * plain + [self.factor] * (len(z) - plain)
        stretch = z.new_tensor(factors).view(-1, *[1] * (z.ndim - 1))
        shift, share = z - self.loc, plain / len(z)

        def log_r() -> Tensor:
            own = density()
            other = self.q.log_prob(
                self.loc + torch.cat([shift[:plain] / self.factor, shift[plain:] * self.factor])
            )
            narrow = torch.cat([own[:plain], other[plain:]])
            wide = torch.cat([other[:plain], own[plain:]]) - self.log_volume
            if share == 1:
                return narrow
            return (narrow + math.log(share)).logaddexp(wide + math.log1p(-share))

        return self.loc + stretch * shift, log_r

    def _of_q(self, sample_shape: Shape) -> ScoredDraws:
        if isinstance(self.q, OnePass):
            return self.q.rsample_and_density(sample_shape)
        z = (self.q.rsample if self.q.has_rsample else self.q.sample)(torch.Size(sample_shape))
        return z, partial(self.q.log_prob, z)


def require_factor(factor: float) -> None:
    """Refuse a factor that is not a number above 1.

    Raises:
        ConfigurationError: So it is.
    """
    if not 1 < factor < math.inf:
        raise ConfigurationError(
            f"widen must be a number above 1, got {factor:g}", hint="for example widen=1.5"
        )


def _centre(q: Distribution) -> Tensor:
    """Return the mean of q, if it is a distribution of real vectors."""
    try:
        support = support_name(q.support)
    except NotImplementedError:  # flows and chains do not say it; they are on real vectors
        support = "Real"
    try:
        if support == "Real" and q.event_shape:
            return q.mean
    except NotImplementedError:
        pass
    raise ConfigurationError(
        f"{type(q).__name__} cannot be widened: it has no mean among real vectors z",
        hint="widen=null draws all z from q(z|x)",
    )
