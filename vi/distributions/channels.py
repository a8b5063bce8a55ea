"""Colour pixels whose channels depend on one another, and images with the channels first."""

import torch
from torch import Tensor
from torch.distributions import Distribution

from vi.distributions.binned_logistic import BinnedLogistic
from vi.distributions.protocols import EstimatedMoments
from vi.math import Shape


class LinkedChannels(EstimatedMoments, Distribution):
    """Pixel distribution P(r) P(g|r) P(b|r, g), each factor a ``BinnedLogistic``.

    The scales do not depend on the other channels; the locations shift linearly with them:

        loc_r,    loc_g + c_0 r,    loc_b + c_1 r + c_2 g.

    ``mean`` and ``variance`` are approximations: each channel is conditioned on the means of the
    channels before it, and their variance is propagated through c. They are exact up to the
    rounding and clipping at 0 and 1.

    Args:
        loc: Locations, (*batch, 3), in the units of the data, which lie in [0, 1].
        scale: Positive scales, (*batch, 3), in the same units.
        links: Coefficients c, (*batch, 3).
        levels: The number of bins of a channel minus 1.

    Reference: Salimans, Karpathy, Chen and Kingma, 2017, https://arxiv.org/abs/1701.05517

    >>> one = torch.ones(5, 3)
    >>> LinkedChannels(one, one, 0 * one, levels=255).log_prob(one).shape
    torch.Size([5])
    """

    arg_constraints = {}  # pyright: ignore

    def __init__(self, loc: Tensor, scale: Tensor, links: Tensor, levels: int) -> None:
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)
        self.loc, self.scale, self.links, self.levels = loc, scale, links, levels

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log P(r, g, b) in nats, (*batch)."""
        red, green, _ = value.unbind(-1)
        zero = torch.zeros_like(red)
        loc = self.loc + torch.stack(
            torch.broadcast_tensors(zero, self._of_green(red), self._of_blue(red, green)), -1
        )
        return BinnedLogistic(loc, self.scale, self.levels).log_prob(value).sum(-1)

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw red, then green given red, then blue given both: (*sample_shape, *batch, 3)."""
        red = self._channel(0, torch.zeros(())).sample(sample_shape)
        green = self._channel(1, self._of_green(red)).sample()
        blue = self._channel(2, self._of_blue(red, green)).sample()
        return torch.stack([red, green, blue], -1)

    @property
    def mean(self) -> Tensor:
        """Approximate mean, along the path of means, (*batch, 3)."""
        return torch.stack([p.mean for p in self._path()], -1)

    @property
    def variance(self) -> Tensor:
        """Approximate variance, along the path of means, (*batch, 3)."""
        red, green, blue = (p.variance for p in self._path())
        c0, c1, c2 = self.links.unbind(-1)
        passed_on = (c1 + c2 * c0).square() * red + c2.square() * green
        return torch.stack([red, green + c0.square() * red, blue + passed_on], -1)

    def _path(self) -> tuple[Distribution, Distribution, Distribution]:
        red = self._channel(0, torch.zeros(()))
        green = self._channel(1, self._of_green(red.mean))
        return red, green, self._channel(2, self._of_blue(red.mean, green.mean))

    def _channel(self, number: int, shift: Tensor) -> BinnedLogistic:
        loc = self.loc[..., number] + shift.to(self.loc)
        return BinnedLogistic(loc, self.scale[..., number], self.levels)

    def _of_green(self, red: Tensor) -> Tensor:
        return self.links[..., 0] * red

    def _of_blue(self, red: Tensor, green: Tensor) -> Tensor:
        return self.links[..., 1] * red + self.links[..., 2] * green


class ChannelsFirst(EstimatedMoments, Distribution):
    """Images (C, H, W) from a distribution over images (H, W, C).

    Args:
        pixels: Distribution with event_shape (H, W, C).

    >>> from torch.distributions import Independent, Normal
    >>> ChannelsFirst(Independent(Normal(torch.zeros(4, 5, 3), 1.0), 3)).sample().shape
    torch.Size([3, 4, 5])
    """

    arg_constraints = {}  # pyright: ignore

    def __init__(self, pixels: Distribution) -> None:
        *size, channels = pixels.event_shape
        super().__init__(pixels.batch_shape, torch.Size([channels, *size]), validate_args=False)
        self.pixels = pixels

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p of images (*batch, C, H, W) in nats, (*batch)."""
        return self.pixels.log_prob(value.movedim(-3, -1))

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Draw images, (*sample_shape, *batch, C, H, W)."""
        return self.pixels.sample(torch.Size(sample_shape)).movedim(-1, -3)

    @property
    def mean(self) -> Tensor:
        """Mean of every entry, (*batch, C, H, W)."""
        return self.pixels.mean.movedim(-1, -3)

    @property
    def variance(self) -> Tensor:
        """Variance of every entry, (*batch, C, H, W)."""
        return self.pixels.variance.movedim(-1, -3)
