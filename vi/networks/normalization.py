"""Normalisations that treat each datum separately.

The bound of a datum must not depend on the other data of its batch, and a batch may contain a
single datum, so there are no batch statistics here.
"""

from abc import ABC, abstractmethod

from torch import nn

from vi.errors import ConfigurationError, require_positive
from vi.options import Configurable


class Normalization(Configurable, ABC):
    """Recipe for a normalisation of images.

    An implementer writes ``__call__``.

    >>> class LayerNormalization(Normalization):
    ...     def __call__(self, channels):
    ...         return nn.GroupNorm(1, channels)
    >>> LayerNormalization()(8).num_groups
    1
    """

    @abstractmethod
    def __call__(self, channels: int) -> nn.Module:
        """Build the layer (N, channels, H, W) -> (N, channels, H, W).

        Args:
            channels: Number of channels.

        Returns:
            A module whose output for an image does not depend on the other images.
        """


class GroupNormalization(Normalization):
    """Group normalisation: groups of channels of one image get mean 0 and variance 1.

    A learned affine map follows. The channels form as many equal groups as possible with at least
    ``group_size`` channels each, or a single group (layer normalisation) if there is no such
    division.

    Args:
        group_size: Least number of channels in a group, at least 2.

    Raises:
        ConfigurationError: ``group_size`` is below 2, or there is a single channel. In an image of
            one pixel such a group is a single number, which normalisation would erase.

    Reference: Wu and He, 2018, https://arxiv.org/abs/1803.08494

    >>> [GroupNormalization(16)(n).num_groups for n in (8, 24, 48, 64)]
    [1, 1, 3, 4]
    """

    def __init__(self, group_size: int = 16) -> None:
        require_positive("group_size", group_size, 1)
        self.group_size = group_size

    def __call__(self, channels: int) -> nn.GroupNorm:
        """Build the layer for this number of channels."""
        if channels < 2:
            raise ConfigurationError(
                f"normalization=group needs at least 2 channels, got {channels}",
                hint="use more channels, or normalization=none",
            )
        fitting = range(self.group_size, channels + 1)
        size = next((size for size in fitting if channels % size == 0), channels)
        return nn.GroupNorm(channels // size, channels)


class NoNormalization(Normalization):
    """No normalisation: the image is unchanged."""

    def __call__(self, channels: int) -> nn.Identity:
        """Build the identity."""
        del channels
        return nn.Identity()
