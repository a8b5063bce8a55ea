"""How close annealing comes to log p(x): bounds from both sides, on data that the model makes."""

import math
import time
from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from vi.distributions.datum_noise import groups_of_rows, keyed_draw
from vi.distributions.repeated import draw_each
from vi.evaluation.annealing.base import ByAnnealing, prior_of_each
from vi.math import log_mean_exp
from vi.models.base import LatentVariableModel


class BidirectionalMonteCarlo(ByAnnealing):
    """Lower and upper bounds of log p(x) for x simulated by the model, and their gap.

    z ~ p(z) and x ~ p(x|z) make z an exact draw of p(z|x). With the weights of ``Annealing``,

        lower = log (1/C) sum_c w_c,            chains from q(z|x),
        upper = -log (1/C) sum_c 1 / w'_c,      chains in reverse from that z,

    hold log p(x) between them on average. One datum is simulated for each datum of the split, with
    what the model conditions on; the data themselves are not used. So the gap tells how exact
    annealing is for data of the model, and nothing about other data.

    Args:
        temperatures: How the inverse temperatures are spread.
        num_samples: C, chains for each datum in each direction.
        num_temperatures: T.
        num_leapfrog_steps: Gradients of a transition; of discrete z, proposals.
        refinement: Moves q first, if it is given. A q that has no gradient to follow stays as it
            is.
        from_prior: Start at p(z) instead.

    Reference: Grosse, Ghahramani and Adams, 2015, https://arxiv.org/abs/1511.02543; Wu, Burda,
    Salakhutdinov and Grosse, 2017, https://arxiv.org/abs/1611.04273
    """

    units: ClassVar[Mapping[str, str]] = {
        **ByAnnealing.units,
        "bidirectional_chains": "chains in each direction",
        "seconds_per_datum": "seconds",
    }

    @property
    def cost(self) -> int:
        """Rows that one datum sends through the decoder."""
        reverse = self.num_samples * self.num_leapfrog_steps * self.num_temperatures
        return super().cost + reverse

    def anneal(
        self, model: LatentVariableModel, x: Tensor, given: dict[str, Tensor]
    ) -> dict[str, Float[Tensor, " B"]]:
        """Both bounds for simulated data, their gap, acceptance and seconds."""
        start = time.perf_counter()
        z, x = simulated(model, x, given)
        path = self.path(model, x, given)
        forward = path.forward(self.num_samples)
        reverse = path.reverse(z.expand(self.num_samples, *z.shape).contiguous())
        lower, upper = log_mean_exp(forward.log_w, 0), -log_mean_exp(-reverse.log_w, 0)
        seconds = (time.perf_counter() - start) / len(x)
        return {
            "lower_bound": lower,
            "upper_bound": upper,
            "gap": upper - lower,
            "acceptance": (forward.acceptance + reverse.acceptance) / 2,
            "seconds": torch.full_like(lower, seconds),
        }

    def summarize(self, columns: Mapping[str, Float[Tensor, " N"]]) -> dict[str, float]:
        """The mean bounds and the mean gap, with their standard errors over simulated data."""
        names = {
            "simulated_lower_bound": "lower_bound",
            "simulated_upper_bound": "upper_bound",
            "bidirectional_gap": "gap",
        }
        numbers = {}
        for name, column in names.items():
            numbers[name] = columns[column].mean().item()
            if len(columns[column]) > 1:
                n = len(columns[column])
                numbers[f"{name}_se"] = columns[column].std().item() / math.sqrt(n)
        return numbers | {
            "bidirectional_chains": self.num_samples,
            "acceptance": columns["acceptance"].mean().item(),
            "seconds_per_datum": columns["seconds"].mean().item(),
        }

    def said(self, model: LatentVariableModel, numbers: Mapping[str, float]) -> list[str]:
        """Between which numbers log p(x) lies, and for which data."""
        del model
        lower, upper = numbers["simulated_lower_bound"], numbers["simulated_upper_bound"]
        gap, error = numbers["bidirectional_gap"], numbers.get("bidirectional_gap_se", math.nan)
        return [
            f"log p(x) of data simulated by the model lies between {lower:.3f} and {upper:.3f} "
            f"nats per datum on average: a gap of {gap:.3f} ± {error:.3f}",
            "this holds for data of the model; it says how exact annealing is there, and nothing "
            "about the data of the split",
        ]


def simulated(
    model: LatentVariableModel, like: Tensor, given: dict[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """Return z ~ p(z), (B, *Z), and x ~ p(x|z), (B, *event), with the noise of each datum.

    Args:
        model: The model.
        like: Data (B, *event), whose number and precision x has.
        given: What the model conditions on.
    """
    parts = []
    for rows in groups_of_rows(len(like), 1):  # every model can draw for a single datum
        some = {name: value[rows] for name, value in given.items()}
        z = draw_each(prior_of_each(model, like[rows], some), 1)[0]
        p = model.likelihood(z, **some)
        with keyed_draw(1, p.batch_shape):
            parts.append((z, p.sample(torch.Size([1]))[0].to(like)))
    z, x = (torch.cat(part) for part in zip(*parts, strict=True))
    return z, x
