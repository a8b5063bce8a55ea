"""The inverse of another flow."""

from torch import nn

from vi.distributions.flow import FlowRecipe


class InverseFlow(FlowRecipe):
    """Inverse flow y = f^-1(x), which exchanges the fast and the slow direction of f.

    With an autoregressive f, a posterior scores any z in one pass and samples in Z passes, and a
    prior samples in one pass.

    Args:
        flow: Recipe of f.

    >>> from vi.distributions.flows.planar import PlanarFlow
    >>> import torch
    >>> InverseFlow(PlanarFlow())(3, context=2)(torch.zeros(5, 2))(torch.zeros(7, 5, 3)).shape
    torch.Size([7, 5, 3])
    """

    def __init__(self, flow: FlowRecipe) -> None:
        self.flow = flow
        self.piecewise = flow.piecewise

    def __call__(self, features: int, context: int = 0) -> nn.Module:
        """Build f and return its inverse."""
        return self.flow(features, context).inv  # pyright: ignore
