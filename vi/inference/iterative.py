"""Iterative amortised inference: a network improves q step by step from its gradient."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vi.distributions.conditional import ConditionalDistribution
from vi.distributions.prior import Prior
from vi.errors import require_positive
from vi.inference.base import Generative
from vi.inference.headed import Headed
from vi.inference.objective import objective
from vi.networks.base import NetworkFactory, built, precision_of

_CAREFUL = 4.0  # exp(-4) is the factor of the gradient in a step of an untrained network
_MOST = 100.0  # largest absolute value of an entry of the gradient


class Iterative(Headed):
    """lambda_(t+1) = lambda_t + exp(a - 4) g_t + b, (a, b) = network(x, lambda_t, g_t), T times.

    g_t is the gradient of the ELBO in lambda_t and counts as a constant in training. The network
    reads it as sign(g) log(1 + |g|), which keeps its scale moderate. The factor exp(-4) makes the
    first steps small. lambda_0 is the head's start, which does not depend on x.

    Args:
        encoder: Makes the network, or is it, which reads x, lambda and g as one flat vector.
        posterior: The head that gives q.
        num_steps: T.
        num_draws: Number of draws for each gradient; each of them evaluates the decoder.

    Raises:
        ConfigurationError: ``num_steps`` or ``num_draws`` is not positive.

    Reference: Marino, Yue and Mandt, 2018, https://arxiv.org/abs/1807.09356
    """

    def __init__(
        self,
        encoder: NetworkFactory | nn.Module,
        posterior: ConditionalDistribution,
        num_steps: int = 5,
        num_draws: int = 4,
    ) -> None:
        super().__init__(encoder, posterior)
        require_positive("num_steps", num_steps)
        require_positive("num_draws", num_draws)
        self.num_steps, self.num_draws = num_steps, num_draws

    @property
    def passes(self) -> int:
        """T: every datum passes through the network once per step."""
        return self.num_steps

    def set_up(self, model: Generative, prior: Prior | Distribution) -> None:
        """Check the space of q, and make the network (x, context, lambda, g) -> (a, b)."""
        super().set_up(model, prior)
        size = torch.Size(self.head.out_shape).numel()
        read = torch.Size(model.data_shape).numel() + self.context_dim + 2 * size
        self.encoder = built("encoder", self.recipe, (read,), (2 * size,), "the iteration")

    def parameters_of(
        self,
        model: Generative,
        x: Tensor,
        context: Tensor | None = None,
        observed: Tensor | None = None,
        **given: Tensor,
    ) -> Tensor:
        """Return lambda_T, (B, *P), in the precision of the network."""
        seen = model.encoder_input(x, precision_of(self.encoder), observed).flatten(1)
        if context is not None and self.context_dim:
            seen = torch.cat([seen, context.to(seen)], -1)
        known = {"context": context, "observed": observed}
        given |= {name: value for name, value in known.items() if value is not None}
        at = self.start(seen.new_zeros(len(x), *self.head.out_shape)).flatten(1)
        climbed = objective(self, model, x, given, self.num_draws)
        for _ in range(self.num_steps):
            g = _gradient(climbed, at)
            read = torch.cat([seen, at, g.sign() * g.abs().log1p()], -1)
            a, b = self.encoder(read).chunk(2, -1)
            at = at + (a - _CAREFUL).exp() * g + b
        return at.unflatten(1, self.head.out_shape)


def _gradient(climbed: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """Return the gradient of each datum's objective, clamped to [-100, 100] and detached."""
    at = at.detach().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(climbed(at).sum(), at)
    return slope.clamp(-_MOST, _MOST)
