"""The model is in evaluation mode, and evaluating it leaves it as it is."""

import torch
from torch import Tensor, nn

from vi.auditing.check import Check, Verdict, distance, judged
from vi.auditing.subject import Subject
from vi.data.base import Batch

_BATCH, _SAMPLES = 8, 4


class EvaluationMode(Check):
    """No part trains, draws noise of its own, or learns from the data that it evaluates.

    Dropout at evaluation shows as two different values of log p(x, z) - log q(z|x) at one (x, z),
    running averages as weights that change, and a part that puts itself in training mode by name.
    """

    title = "evaluation mode"
    proves = "that evaluation draws no noise beside z, and changes neither mode nor weights"

    @torch.no_grad()
    def __call__(self, subject: Subject) -> Verdict:
        """Evaluate the same (x, z) twice from different random states."""
        batch = subject.few(_BATCH)
        z = subject.draws(batch, _SAMPLES)
        before = {k: v.clone() for k, v in subject.model.state_dict().items()}
        one, other = (_log_weights(subject, batch, z, seed) for seed in (1, 2))
        moved = distance(one, other)
        training = [name or "the model" for name, m in _training(subject.model)]
        changed = [k for k, v in subject.model.state_dict().items() if not _same(v, before[k])]
        said = f"two evaluations at the same z differ by {moved:.2g} nats"
        said += f"; in training mode: {', '.join(training[:3])}" if training else ""
        said += f"; changed by an evaluation: {', '.join(changed[:3])}" if changed else ""
        number = float("inf") if training or changed else moved
        return judged(number, 0.0, said)


def _log_weights(subject: Subject, batch: Batch, z: Tensor, seed: int) -> Tensor:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        log_q = subject.posterior(batch).log_prob(z)
        return subject.model.log_joint(batch.x, z, **batch.given) - log_q


def _training(model: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, part) for name, part in model.named_modules() if part.training]


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool(((a == b) | (a.isnan() & b.isnan())).all())
