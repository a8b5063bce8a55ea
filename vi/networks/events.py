"""Wrappers that apply layers for one event to events with any leading axes and a context."""

import torch
from torch import Tensor, nn

from vi.math import Shape
from vi.networks.base import flatten_event


class OnVectors(nn.Module):
    """Apply layers (N, D + C) -> (N, *) to flattened events followed by the context.

    Maps (*batch, *in_shape) and a context (*batch, C) to (*batch, *out_shape).

    Args:
        layers: Run once, on all events together.
        in_rank: Number of axes of an event.
        out_shape: Shape of the output for one event.

    >>> OnVectors(nn.Linear(7, 2), 2, (1, 2))(torch.ones(5, 3, 2, 2), torch.ones(3, 3)).shape
    torch.Size([5, 3, 1, 2])
    """

    def __init__(self, layers: nn.Module, in_rank: int, out_shape: Shape) -> None:
        super().__init__()
        self.layers = layers
        self.in_rank = in_rank
        self.out_shape = out_shape

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Flatten the events, append the context, and run the layers.

        Args:
            x: Events, (*batch, *in_shape).
            context: (*batch, C), whose batch axes broadcast with those of x; None for none.

        Returns:
            (*batch, *out_shape).
        """
        x = flatten_event(x, self.in_rank)
        if context is not None:
            batch = torch.broadcast_shapes(x.shape[:-1], context.shape[:-1])
            x = torch.cat([v.expand(*batch, -1) for v in (x, context)], dim=-1)
        y = self.layers(x.reshape(-1, x.shape[-1]))
        return y.reshape(*x.shape[:-1], *self.out_shape)


class OnImages(nn.Module):
    """Apply layers (N, channels + C, H, W) -> (N, *) to images with the context as channels.

    Maps (*batch, channels, H, W) and a context (*batch, C) to (*batch, *out_shape). Each number of
    the context becomes a constant channel.

    Args:
        layers: Run once, on all images together.
        out_shape: Shape of the output for one image.

    >>> layers = nn.Sequential(nn.Conv2d(4, 1, 3), nn.Flatten())
    >>> OnImages(layers, (2, 1))(torch.ones(5, 3, 1, 4, 3), torch.ones(3, 3)).shape
    torch.Size([5, 3, 2, 1])
    """

    def __init__(self, layers: nn.Module, out_shape: Shape) -> None:
        super().__init__()
        self.layers = layers
        self.out_shape = out_shape

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Append the context as constant channels and run the layers.

        Args:
            x: Images, (*batch, channels, H, W).
            context: (*batch, C), which broadcasts to the batch axes of x; None for none.

        Returns:
            (*batch, *out_shape).
        """
        if context is not None:
            planes = context[..., None, None].expand(*x.shape[:-3], -1, *x.shape[-2:])
            x = torch.cat([x, planes], dim=-3)
        y = self.layers(x.reshape(-1, *x.shape[-3:]))
        return y.reshape(*x.shape[:-3], *self.out_shape)
