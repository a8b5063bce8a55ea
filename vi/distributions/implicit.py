"""Implicitly reparameterised draws: their gradient can be taken only once."""

import torch

from vi.errors import ConfigurationError


def refuse_second_derivative(of: str) -> None:
    """Raise an error if the gradient of a draw is itself being differentiated.

    The backward pass of an implicit draw uses stored slopes. A second derivative would treat them
    as constants and be silently wrong.

    Args:
        of: Name of the distribution that was drawn from, for the message.

    Raises:
        ConfigurationError: The backward pass runs with gradients enabled.
    """
    if torch.is_grad_enabled():
        raise ConfigurationError(
            f"the gradient of a draw from {of} cannot be differentiated",
            hint="scheme.through=false, or posterior=diagonal_gaussian",
        )
