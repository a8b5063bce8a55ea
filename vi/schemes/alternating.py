"""Gradient steps on q and on theta in turn."""

from typing import Any, Unpack

from vi.bounds.base import Estimate
from vi.data.base import Batch
from vi.errors import require_positive
from vi.schemes.base import Context
from vi.schemes.gradient import (
    GradientOptions,
    GradientScheme,
    frozen,
    loss,
    parameters_of,
)
from vi.schemes.plateau import Plateau


class Alternating(GradientScheme):
    """E-steps that raise the bound in phi, then M-steps that raise it in theta, in a cycle.

    Every step uses a new batch. The parameters that do not move are frozen, so that their
    gradients are not computed.

    Args:
        e_steps: Number of E-steps in a cycle; None continues until the bound stops rising.
        m_steps: Number of M-steps in a cycle; None continues until the bound stops rising.
        window: Number of batches over which the bound is averaged before it is compared with the
            average of the window before.
        max_steps: Largest number of steps of a phase whose length is None.
        **options: ``optimizer``, ``schedule`` and ``gradient_clip_norm`` of ``GradientScheme``.

    Raises:
        ConfigurationError: A number of steps or ``window`` is not positive.

    Reference: Neal and Hinton, 1998, https://doi.org/10.1007/978-94-011-5014-9_12
    """

    def __init__(
        self,
        e_steps: int | None = 1,
        m_steps: int | None = 1,
        window: int = 10,
        max_steps: int = 100,
        **options: Unpack[GradientOptions],
    ) -> None:
        super().__init__(**options)
        for name, steps in (("e_steps", e_steps), ("m_steps", m_steps)):
            if steps is not None:
                require_positive(name, steps)
        require_positive("window", window)
        require_positive("max_steps", max_steps)
        self.lengths = (e_steps, m_steps)
        self.plateau = Plateau(window, max_steps)
        self.turn = 0  # 0 in an E-phase, 1 in an M-phase
        self.taken = 0  # steps of this phase

    def step(self, context: Context, batch: Batch) -> Estimate:
        """Take one E-step or one M-step, whichever is due."""
        self.enter("m" if self.turn else "e")
        with frozen(parameters_of(context.optimizers[1 - self.turn])):
            estimate = context.bound(context.model, batch.x, **batch.given)
            self.descend(loss(estimate), context, [context.optimizers[self.turn]])
        self._count(estimate)
        return estimate

    def _count(self, estimate: Estimate) -> None:
        """Count the step, and change the phase when this one is complete."""
        self.taken += 1
        length = self.lengths[self.turn]
        over = self.taken == length if length else self.plateau.stopped(estimate.value.mean())
        if over:
            self.turn, self.taken = 1 - self.turn, 0
            self.plateau.reset()

    def state_dict(self) -> dict[str, Any]:
        """Return the position in the cycle."""
        return {"turn": self.turn, "taken": self.taken, "rising": self.plateau.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the position in the cycle."""
        self.turn, self.taken = state["turn"], state["taken"]
        self.plateau.load_state_dict(state["rising"])
