"""Aggressive inference training: optimise the encoder before every M-step, early in training."""

from typing import Any, Unpack

from vi.bounds.base import Bound, Estimate
from vi.data.base import Batch
from vi.diagnostics.mutual_information import mutual_information
from vi.errors import require_positive
from vi.models.base import LatentVariableModel
from vi.schemes.base import Context
from vi.schemes.gradient import (
    GradientOptions,
    GradientScheme,
    frozen,
    loss,
    parameters_of,
)
from vi.schemes.plateau import Plateau


class Aggressive(GradientScheme):
    """E-steps until the bound stops rising, then one M-step; later joint steps.

    Early in training the encoder lags behind the model, and this lag is one cause of posterior
    collapse. Many E-steps per M-step remove it. The mutual information between x and z under q is
    measured on held-out data at the end of an epoch, once the M-steps since the last measurement
    number at least the batches of an epoch. When it has stopped growing, the scheme changes to
    joint steps for good.

    Args:
        window: Number of batches over which the bound is averaged before it is compared with the
            average of the window before.
        max_e_steps: Largest number of E-steps before an M-step.
        **options: ``optimizer``, ``schedule`` and ``gradient_clip_norm`` of ``GradientScheme``.

    Raises:
        ConfigurationError: ``window`` or ``max_e_steps`` is not positive.

    Reference: He, Spokoyny, Neubig and Berg-Kirkpatrick, 2019, https://arxiv.org/abs/1901.05534
    """

    def __init__(
        self,
        window: int = 10,
        max_e_steps: int = 100,
        **options: Unpack[GradientOptions],
    ) -> None:
        super().__init__(**options)
        require_positive("window", window)
        require_positive("max_e_steps", max_e_steps)
        self.plateau = Plateau(window, max_e_steps)
        self.aggressive = True
        self.e_phase = True
        self.information = float("-inf")
        self.m_steps = 0  # since the information was measured
        self.num_batches = 0  # of this epoch so far

    def step(self, context: Context, batch: Batch) -> Estimate:
        """Take one E-step, one M-step, or, after the aggressive phase, one joint step."""
        if not self.aggressive:
            return self._joint(context, batch)
        self.num_batches += 1
        encoder, decoder = context.optimizers
        moved, held = (encoder, decoder) if self.e_phase else (decoder, encoder)
        self.enter("e" if self.e_phase else "m")
        with frozen(parameters_of(held)):
            estimate = context.bound(context.model, batch.x, **batch.given)
            self.descend(loss(estimate), context, [moved])
        if not self.e_phase:
            self.e_phase = True
            self.m_steps += 1
            self.plateau.reset()
        elif self.plateau.stopped(estimate.value.mean()):
            self.e_phase = False
        return estimate

    def _joint(self, context: Context, batch: Batch) -> Estimate:
        """Take one gradient step on phi and theta together."""
        self.enter("joint")
        estimate = context.bound(context.model, batch.x, **batch.given)
        self.descend(loss(estimate), context)
        return estimate

    def end_epoch(self, bound: Bound, model: LatentVariableModel, probe: Batch) -> None:
        """Measure the mutual information when due; change to joint steps if it no longer grows."""
        num_batches, self.num_batches = self.num_batches, 0
        if not self.aggressive or self.m_steps < num_batches:
            return
        self.m_steps = 0
        information = mutual_information(model, probe.x, **probe.given)  # pyright: ignore
        self.aggressive = information > self.information
        self.information = information

    def state_dict(self) -> dict[str, Any]:
        """Return the phase, the counters and the last measured mutual information (nats)."""
        names = ("aggressive", "e_phase", "information", "m_steps", "num_batches")
        return {k: getattr(self, k) for k in names} | {"rising": self.plateau.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the phase, the counters and the window of the plateau test."""
        self.plateau.load_state_dict(state["rising"])
        super().load_state_dict({k: v for k, v in state.items() if k != "rising"})
