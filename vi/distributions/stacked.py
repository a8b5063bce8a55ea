"""Several parameters for every entry of an event, as one shape that a network can give."""

from torch import Tensor

from vi.math import Shape


def stacked(num: int, event_shape: Shape) -> Shape:
    """The shape of ``num`` numbers for every entry: along the first axis, so images stay images.

    >>> stacked(10, (3, 8, 8)), stacked(10, (6,)), stacked(10, ())
    ((30, 8, 8), (60,), (10,))
    """
    return (num * event_shape[0], *event_shape[1:]) if event_shape else (num,)


def restacked(each: Tensor) -> Tensor:
    """(*event, num) -> (*stacked): what ``unstacked`` undoes.

    >>> import torch
    >>> restacked(torch.zeros(3, 8, 8, 10)).shape
    torch.Size([30, 8, 8])
    """
    return each.movedim(-1, 0).flatten(0, 1) if each.ndim > 1 else each


def unstacked(params: Tensor, num: int, event_shape: Shape) -> Tensor:
    """(*batch, *stacked) -> (*batch, *event, num).

    >>> import torch
    >>> unstacked(torch.zeros(5, 30, 8, 8), 10, (3, 8, 8)).shape
    torch.Size([5, 3, 8, 8, 10])
    """
    rank = len(event_shape)
    if not rank:
        return params
    return params.unflatten(-rank, (num, event_shape[0])).movedim(-rank - 1, -1)
