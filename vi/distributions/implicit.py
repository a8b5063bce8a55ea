"""What the implicit gradients of draws have in common: they may be taken once."""

import torch

from vi.errors import ConfigurationError


def refuse_second_derivative(of: str) -> None:
    """Called in a backward pass whose result would be a constant to a second derivative.

    Args:
        of: What the draw is from.

    Raises:
        ConfigurationError: Somebody is about to differentiate it.
    """
    if torch.is_grad_enabled():
        raise ConfigurationError(
            f"the gradient of a draw from {of} cannot be differentiated",
            hint="scheme.through=false, or posterior=diagonal_gaussian",
        )
