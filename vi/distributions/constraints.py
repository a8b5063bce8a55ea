"""Supports that torch.distributions lacks: the sphere, a grid and the open unit interval."""

from torch import Tensor
from torch.distributions import SigmoidTransform, biject_to, transform_to
from torch.distributions.constraints import Constraint


class Sphere(Constraint):
    """Vectors of length 1.

    >>> import torch
    >>> Sphere().check(torch.tensor([[0.6, 0.8], [1.0, 1.0]]))
    tensor([ True, False])
    """

    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        """Return whether each vector has length 1, up to the rounding of single precision."""
        return (value.norm(dim=-1) - 1).abs() < 1e-4

    def __repr__(self) -> str:
        """Return the full name; torch's own drops the first letter of a class name."""
        return f"{type(self).__name__}()"


class Grid(Constraint):
    """The numbers 0, 1 / levels, .., (num - 1) / levels.

    Args:
        num: How many numbers there are.
        levels: Steps between 0 and 1; 1 for integers, 255 for bytes in [0, 1].

    >>> import torch
    >>> Grid(256, levels=255).check(torch.tensor([0.0, 1.0, 128 / 255, 0.5]))
    tensor([ True,  True,  True, False])
    """

    is_discrete = True

    def __init__(self, num: int, levels: int = 1) -> None:
        self.num, self.levels = num, levels

    def check(self, value: Tensor) -> Tensor:
        """Return whether each number lies on the grid, up to a hundredth of a step."""
        index = value * self.levels
        near = (index - index.round()).abs() < 1e-2
        return near & (index > -0.5) & (index < self.num - 0.5)

    def __repr__(self) -> str:
        """Return the name with its arguments."""
        return f"{type(self).__name__}(num={self.num}, levels={self.levels})"


class OpenUnitInterval(Constraint):
    """The numbers strictly between 0 and 1.

    >>> import torch
    >>> OpenUnitInterval().check(torch.tensor([0.0, 0.5, 1.0]))
    tensor([False,  True, False])
    """

    def check(self, value: Tensor) -> Tensor:
        """Return whether each number lies strictly between 0 and 1."""
        return (value > 0) & (value < 1)

    def __repr__(self) -> str:
        """Return the full name."""
        return type(self).__name__


@biject_to.register(OpenUnitInterval)
@transform_to.register(OpenUnitInterval)
def _sigmoid(support: OpenUnitInterval) -> SigmoidTransform:
    """Return the bijection from the real line, so that torch's registry has one."""
    return SigmoidTransform()


sphere = Sphere()
open_unit_interval = OpenUnitInterval()
