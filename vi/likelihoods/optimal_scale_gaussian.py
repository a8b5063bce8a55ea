"""The Gaussian likelihood with the scale that maximises it (sigma-VAE)."""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, constraints

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.moments import mean_of, spread_of
from vi.errors import ConfigurationError, require_positive
from vi.math import Shape


class OptimalScaleGaussian(ConditionalDistribution):
    """Gaussian p(x|z) = prod_d N(x_d; mu_d(z), s^2) with the s that maximises it: the sigma-VAE.

    In training mode s^2 is the mean squared error of the batch, treated as a constant: at the
    maximum the derivative in s vanishes, so the gradient is that of -D/2 log(mean squared error).
    In evaluation mode s^2 is a running mean of these values, so that p(x|z) does not depend on the
    batch. The s maximises the ELBO; under a bound with several samples it is still the root mean
    squared error.

    Args:
        floor: Lower limit of s, in the units of the data (of their standard deviation if the model
            standardises). Without it the density is unbounded.
        momentum: Weight of a batch in the running mean; the first batches have equal weights.

    Raises:
        ConfigurationError: floor <= 0, or momentum is not in (0, 1].

    Reference: Rybkin, Daniilidis and Levine, 2021, https://arxiv.org/abs/2006.13202

    >>> likelihood = OptimalScaleGaussian()
    >>> likelihood.set_event_shape((1,))
    >>> x = torch.tensor([[-3.0], [3.0]])
    >>> likelihood(torch.zeros(2, 1)).log_prob(x), likelihood.noise.scale
    (tensor([-2.5176, -2.5176]), tensor(3.))
    """

    support = constraints.real

    def __init__(self, floor: float = 1e-3, momentum: float = 0.01) -> None:
        super().__init__()
        self.noise = _Noise(floor, momentum)

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """Shape of mu, that of x."""
        return (self.event_shape,)

    def forward(self, params: Tensor) -> Distribution:
        """Build p(x|z) with batch_shape (*batch) from mu (*batch, *out_shape)."""
        (loc,) = self.split(params)
        normal = _OptimalNormal(loc, torch.ones_like(loc), self.noise)
        return Independent(normal, len(self.event_shape))

    @torch.no_grad()
    def start_at(self, x: Tensor, exposure: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return the mean of each entry, and set s^2 to the mean variance.

        The first batch of training replaces that s^2 by its mean squared error.
        """
        self.noise.variance.copy_(spread_of(x).square().mean())
        return (mean_of(x),)


class _Noise(nn.Module):
    """Scale s of standardised errors: their root mean square in training, else a running mean."""

    variance: Tensor
    batches: Tensor

    def __init__(self, floor: float, momentum: float) -> None:
        super().__init__()
        require_positive("floor", floor)
        if not 0 < momentum <= 1:
            raise ConfigurationError(
                f"momentum must be in (0, 1], got {momentum:g}", hint="momentum=0.01"
            )
        self.floor, self.momentum = floor, momentum
        self.register_buffer("variance", torch.ones(()))
        self.register_buffer("batches", torch.zeros(()))

    @property
    def scale(self) -> Tensor:
        """s from the running mean of s^2."""
        return self.variance.sqrt().clamp_min(self.floor)

    @torch.no_grad()
    def forward(self, errors: Tensor) -> Tensor:
        """Return s for these errors.

        Errors of exactly 0 are not counted: they mark missing entries (see ``Observed``).
        """
        if not self.training:
            return self.scale
        variance = errors.square().sum() / errors.count_nonzero().clamp_min(1)
        self.batches += 1
        self.variance.lerp_(variance, self.batches.reciprocal().clamp_min(self.momentum))
        return variance.sqrt().clamp_min(self.floor)


class _OptimalNormal(Distribution):
    """N(loc, (scale s)^2), with s from the errors (x - loc) / scale."""

    arg_constraints = {  # pyright: ignore
        "loc": constraints.real,
        "scale": constraints.positive,
        "noise": constraints.dependent,
    }
    support = constraints.real  # pyright: ignore

    def __init__(
        self, loc: Tensor, scale: Tensor, noise: _Noise, *, validate_args: bool = False
    ) -> None:
        self.loc, self.scale, self.noise = loc, scale, noise
        super().__init__(loc.shape, validate_args=validate_args)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(loc: {self.loc.size()}, scale: {self.scale.size()})"

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def stddev(self) -> Tensor:
        return self.scale * self.noise.scale

    @property
    def variance(self) -> Tensor:
        return self.stddev.square()

    @torch.no_grad()
    def sample(self, sample_shape: Shape = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        noise = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + self.stddev * noise

    def log_prob(self, value: Tensor) -> Tensor:
        errors = (value - self.loc) / self.scale
        s = self.noise(errors)
        return -0.5 * (errors / s).square() - (self.scale * s * _ROOT).log()


_ROOT = (2 * torch.pi) ** 0.5
