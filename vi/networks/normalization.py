"""Normalisations under which a datum knows nothing of its batch.

The bound of a datum must not depend on the data that it is computed with, and a batch may be one
datum: so there are no statistics over a batch here.
"""

from abc import ABC, abstractmethod

from torch import nn

from vi.errors import ConfigurationError, require_positive
from vi.options import Configurable


class Normalization(Configurable, ABC):
    """A recipe for a layer on images. An implementer writes ``__call__``."""

    @abstractmethod
    def __call__(self, channels: int) -> nn.Module:
        """Build the layer (N, channels, H, W) -> (N, channels, H, W), each image for itself."""


class GroupNormalization(Normalization):
    """Groups of channels of one image get mean 0 and variance 1, then a learned affine map.

    There are as many equal groups as have at least ``group_size`` channels each, and one group
    (layer normalisation) where that is impossible.

    Args:
        group_size: Least number of channels in a group.

    Raises:
        ConfigurationError: A group of a single channel, which is a single number, and so lost,
            where the image has a single pixel.

    Reference: Wu and He, 2018, https://arxiv.org/abs/1803.08494

    >>> [GroupNormalization(16)(n).num_groups for n in (8, 24, 48, 64)]
    [1, 1, 3, 4]
    """

    def __init__(self, group_size: int = 16) -> None:
        require_positive("group_size", group_size, 1)
        self.group_size = group_size

    def __call__(self, channels: int) -> nn.GroupNorm:
        """See ``Normalization``."""
        if channels < 2:
            raise ConfigurationError(
                f"normalization=group needs at least 2 channels, got {channels}",
                hint="more channels, or normalization=none",
            )
        fitting = range(self.group_size, channels + 1)
        size = next((size for size in fitting if channels % size == 0), channels)
        return nn.GroupNorm(channels // size, channels)


class NoNormalization(Normalization):
    """The image as it is."""

    def __call__(self, channels: int) -> nn.Identity:
        """See ``Normalization``."""
        del channels
        return nn.Identity()
