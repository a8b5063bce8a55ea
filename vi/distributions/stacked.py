"""Layout of several parameters per entry of an event, as the output of one network."""

from torch import Tensor

from vi.math import Shape


def stacked(num: int, event_shape: Shape) -> Shape:
    """Return the shape of ``num`` numbers per entry.

    They are stacked along the first axis, so that images remain images with more channels.

    >>> stacked(10, (3, 8, 8)), stacked(10, (6,)), stacked(10, ())
    ((30, 8, 8), (60,), (10,))
    """
    return (num * event_shape[0], *event_shape[1:]) if event_shape else (num,)


def restacked(each: Tensor) -> Tensor:
    """Move the last axis (*event, num) into the first one; the inverse of ``unstacked``.

    >>> import torch
    >>> restacked(torch.zeros(3, 8, 8, 10)).shape
    torch.Size([30, 8, 8])
    """
    return each.movedim(-1, 0).flatten(0, 1) if each.ndim > 1 else each


def unstacked(params: Tensor, num: int, event_shape: Shape) -> Tensor:
    """Separate the numbers of each entry: (*batch, *stacked) -> (*batch, *event, num).

    Args:
        params: Output of a network, of shape (*batch, *stacked(num, event_shape)).
        num: Numbers per entry.
        event_shape: Shape of the event.

    >>> import torch
    >>> unstacked(torch.zeros(5, 30, 8, 8), 10, (3, 8, 8)).shape
    torch.Size([5, 3, 8, 8, 10])
    """
    rank = len(event_shape)
    if not rank:
        return params
    return params.unflatten(-rank, (num, event_shape[0])).movedim(-rank - 1, -1)
