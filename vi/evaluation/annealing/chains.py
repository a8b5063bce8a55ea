"""Annealed importance sampling of log p(x), forward and in reverse."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from vi.distributions.draw import draw
from vi.distributions.repeated import draw_each
from vi.evaluation.annealing.choice import transition
from vi.evaluation.annealing.hamiltonian import adapted
from vi.evaluation.annealing.transition import Path, State
from vi.models.base import LatentVariableModel

_BLOCK = 32  # temperatures whose noise is drawn at once


@dataclass(frozen=True)
class Annealed:
    """Log-weights of C chains: the mean of exp(log_w) is an unbiased estimate of p(x).

    ``log_w`` (C, B) is in nats; ``acceptance`` (B,) is the mean over temperatures.
    """

    log_w: Float[Tensor, "C B"]
    acceptance: Float[Tensor, " B"]


class Annealing:
    """The path from a distribution q(z) to p(x, z) for the data of a batch.

    log w = sum_t (beta_t - beta_(t-1)) (log p(x, z_t) - log q(z_t)), with z_1 ~ q and z_(t+1)
    from a transition that leaves f_beta_t invariant. In reverse, from a draw of the posterior, the
    mean of 1 / w is an unbiased estimate of 1 / p(x).

    Args:
        model: Gives p(x, z).
        x: Data (B, *event).
        start: q(z), batch_shape (B,).
        given: What the model conditions on.
        betas: Inverse temperatures, from 0 to 1.
        num_steps: Evaluations of a transition: leapfrog steps of real z, proposals of discrete z.

    Raises:
        ConfigurationError: z is neither a real vector nor discrete.

    Reference: Neal, 2001, https://doi.org/10.1023/A:1008923215028; Grosse, Ghahramani and Adams,
    2015, https://arxiv.org/abs/1511.02543
    """

    def __init__(
        self,
        model: LatentVariableModel,
        x: Tensor,
        start: Distribution,
        given: dict[str, Tensor],
        betas: Float[Tensor, " T"],
        num_steps: int,
    ) -> None:
        self.x, self.start, self.betas = x, start, betas.tolist()
        path = Path(start.log_prob, lambda z: model.log_joint(x, z, **given))
        self.transition = transition(path, model.latent(), start, num_steps)
        first = start.event_shape.numel() ** -0.25
        self.steps = torch.full((len(betas), len(x)), first, device=x.device)

    def adapt(self, num_chains: int, betas: Float[Tensor, " T"]) -> None:
        """Find the step size of every temperature in a pilot run over others, and keep it.

        Nothing happens if the transition has no step size.
        """
        if not self.transition.adapts:
            return
        z = draw_each(self.start, num_chains)
        state, found = self.transition.begin(z), [self.steps[0].to(z)]
        for beta, noise in self._moves(betas.tolist()[1:], z):
            state, acceptance = self.transition(state, beta, found[-1], noise)
            found.append(adapted(found[-1], acceptance))
        self.steps = _interpolated(torch.stack(found), betas, betas.new_tensor(self.betas))

    def forward(self, num_chains: int) -> Annealed:
        """Anneal from q to the posterior; log mean exp(log_w) is a lower bound on average."""
        z = draw_each(self.start, num_chains)
        return self._annealed(z, range(1, len(self.betas)))

    def reverse(self, z: Float[Tensor, "C B *Z"]) -> Annealed:
        """Anneal from exact draws of p(z|x) to q.

        -log mean exp(-log_w) is an upper bound of log p(x) on average.
        """
        return self._annealed(z, range(len(self.betas) - 1, 0, -1))

    def _annealed(self, z: Float[Tensor, "C B *Z"], order: range) -> Annealed:
        """Between the temperatures t - 1 and t, for t in this order, f_beta changes."""
        state = self.transition.begin(z)
        log_w = torch.zeros_like(state.log_start, dtype=torch.float64)
        accepted = torch.zeros_like(log_w[0])
        after = [t if order.step > 0 else t - 1 for t in order]
        moves = self._moves([self.betas[t] for t in after[:-1]], z)
        for number, t in enumerate(order):
            log_w += (self.betas[t] - self.betas[t - 1]) * _log_ratio(state)
            if number < len(order) - 1:
                beta, noise = next(moves)
                state, acceptance = self.transition(state, beta, self.steps[after[number]], noise)
                accepted += acceptance
        return Annealed(log_w, accepted / max(len(order) - 1, 1))

    def _moves(
        self, betas: list[float], z: Float[Tensor, "C B *Z"]
    ) -> Iterator[tuple[float, Tensor]]:
        """Each inverse temperature, and the noise of its transition by datum."""
        chains, batch, dim = *z.shape[:2], self.transition.noise_dim
        noise = Independent(Normal(z.new_zeros(batch, dim), 1.0), 1)
        for first in range(0, len(betas), _BLOCK):
            block = betas[first : first + _BLOCK]
            drawn = draw(noise, len(block) * chains).z
            yield from zip(block, drawn.unflatten(0, (len(block), chains)), strict=True)


def _log_ratio(state: State) -> Float[Tensor, "C B"]:
    return state.log_target.double() - state.log_start.double()


def _interpolated(steps: Tensor, at: Tensor, to: Tensor) -> Tensor:
    """Steps (S, B) of inverse temperatures ``at`` at other ones, linear between them."""
    right = torch.searchsorted(at, to).clamp(1, len(at) - 1)
    share = ((to - at[right - 1]) / (at[right] - at[right - 1])).to(steps)[:, None]
    return steps[right - 1].lerp(steps[right], share.clamp(0, 1))
