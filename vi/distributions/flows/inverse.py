"""A flow the other way round."""

from torch import nn

from vi.distributions.flow import FlowRecipe


class InverseFlow(FlowRecipe):
    """y = f^-1(x), with f of another flow: fast where that one is slow.

    With an autoregressive flow, a posterior that scores any z in one pass and draws in Z of them,
    and a prior that draws in one pass.

    Args:
        flow: f.

    >>> from vi.distributions.flows.planar import PlanarFlow
    >>> import torch
    >>> InverseFlow(PlanarFlow())(3, context=2)(torch.zeros(5, 2))(torch.zeros(7, 5, 3)).shape
    torch.Size([7, 5, 3])
    """

    def __init__(self, flow: FlowRecipe) -> None:
        self.flow = flow
        self.piecewise = flow.piecewise

    def __call__(self, features: int, context: int = 0) -> nn.Module:
        """See ``FlowRecipe``."""
        return self.flow(features, context).inv  # pyright: ignore
