"""Simulation-based calibration of q(z|x)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vi.data.base import Batch
from vi.diagnoses.base import Diagnosis, Diagnostic, Subject, blocks
from vi.diagnoses.simulation import simulated
from vi.errors import ConfigurationError, require_positive, require_whole
from vi.evaluation.log_likelihood import DATA_AT_ONCE
from vi.figures.rank_histograms import rank_histograms
from vi.files.numbers import Number
from vi.models.base import LatentVariableModel
from vi.progress import watched

LOG_LIKELIHOOD = "log p(x|z)"
_LEVEL = 0.01  # probability that any test quantity of a calibrated q is called deviating
_WORST = 3  # quantities that a sentence describes
_SPREAD, _SHIFT = 0.05, 0.02  # relative deviations of ranks that have a name
_PER_BIN = 5  # least expected number in a bin, for the chi-square distribution


class Ranks(NamedTuple):
    """Ranks of z* among the draws of q(z|x), and their test by quantity.

    Args:
        names: Q test quantities.
        ranks: 0 .. L, (S, Q).
        p_values: Of the chi-square test that all bins are equally likely, (Q,).
    """

    names: Sequence[str]
    ranks: Int[Tensor, "S Q"]
    p_values: Float[Tensor, " Q"]


class Calibration(Diagnostic):
    """Simulation-based calibration: is q(z|x) the posterior of the model, on average over p(x)?

    z* ~ p(z), x ~ p(x|z*), and L draws z_l ~ q(z|x): if q is the posterior, the rank of a test
    quantity of z* among those of the z_l is uniform on 0 .. L. The quantities are all dimensions
    of z, and log p(x|z), without which q(z|x) = p(z) would pass. Equal values, as of discrete z,
    are ordered at random. Uniformity is tested by chi-square over equal bins.

    The data are simulated by the model, so this says nothing about how well p(x) fits; data that a
    model makes may be unlike those that its encoder was trained on. A conditional model simulates
    from the conditions of the data.

    Args:
        num_simulations: S, at least 5 for each bin.
        num_draws: L; L + 1 is a multiple of the number of bins.
        num_bins: Number of bins.

    Raises:
        ConfigurationError: The numbers do not fit together.

    Reference: Talts, Betancourt, Simpson, Vehtari and Gelman, 2018,
    https://arxiv.org/abs/1804.06788; log p(x|z): Modrak et al., 2023,
    https://arxiv.org/abs/2211.02383
    """

    def __init__(
        self, num_simulations: int = 1000, num_draws: int = 99, num_bins: int = 20
    ) -> None:
        require_positive("num_bins", num_bins, 1)
        require_whole("num_simulations", num_simulations, _PER_BIN * num_bins)
        if num_draws < 1 or (num_draws + 1) % num_bins:
            raise ConfigurationError(
                f"num_draws={num_draws} draws have {num_draws + 1} ranks, which do not fill "
                f"{num_bins} equal bins",
                hint=f"num_draws={max(1, num_draws // num_bins) * num_bins - 1}",
            )
        self.num_simulations, self.num_draws = num_simulations, num_draws
        self.num_bins = num_bins

    def examine(self, subject: Subject) -> Diagnosis:
        """Simulate, rank and test."""
        found = self.ranks(subject)
        names, p = found.names, found.p_values.tolist()
        of_all = Number("p_value", min(1.0, min(p) * len(p)), f"for all {len(p)} quantities")
        each = [f"p_value_{name.replace(' ', '_')}" for name in names]
        numbers = [Number(name, v, "p-value") for name, v in zip(each, p, strict=True)]
        uniform = (found.ranks.double() + 0.5) / (self.num_draws + 1)
        figure = rank_histograms(found.ranks, names, p, self.num_bins, self.num_draws)
        facts = {"simulations": self.num_simulations, "draws of q": self.num_draws}
        said = [_verdict(names, p, uniform)]
        if subject.model.exact() is not None:
            said.append("q(z|x) is the exact posterior of this model")
        return Diagnosis(
            "calibration of q", [of_all, *numbers], said, {"calibration": figure}, facts
        )

    def ranks(self, subject: Subject) -> Ranks:
        """Return the ranks of all simulations, and the test of each quantity.

        Raises:
            ConfigurationError: p(x|z) cannot be sampled.
        """
        split, n = subject.rows, self.num_simulations
        batch = split.batch(split.spread(n))  # for its conditions; x is simulated
        parts = list(blocks(batch, DATA_AT_ONCE))
        ranks = torch.cat([self._ranks(subject.model, part) for part in watched(parts)])
        counts = _counts(ranks, self.num_bins, self.num_draws)
        names = [f"z_{d}" for d in range(1, ranks.shape[1])]
        return Ranks([LOG_LIKELIHOOD, *names], ranks, chi_square(counts))

    def _ranks(self, model: LatentVariableModel, batch: Batch) -> Tensor:
        truth, x = simulated(model, batch)
        z = model.posterior(x, **batch.given).sample(torch.Size([self.num_draws]))
        true, drawn = (_quantities(model, x, at, batch.given) for at in (truth[None], z))
        return _rank(true[0], drawn)


def _quantities(
    model: LatentVariableModel, x: Tensor, z: Tensor, given: dict[str, Tensor]
) -> Float[Tensor, "K B Q"]:
    """Return the test quantities of draws z (K, B, *Z): log p(x|z), and every dimension."""
    log_joint, log_prior = model.log_joint_and_prior(x, z, **given)
    dimensions = z.flatten(2) if z.ndim > 2 else z[..., None]
    return torch.cat([(log_joint - log_prior).double()[..., None], dimensions.double()], -1)


def _rank(true: Float[Tensor, "B Q"], drawn: Float[Tensor, "L B Q"]) -> Int[Tensor, "B Q"]:
    """Return how many draws lie below the truth; equal values are ordered at random."""
    below, equal = (drawn < true).sum(0), (drawn == true).sum(0)
    ties = torch.rand(true.shape, dtype=torch.float64, device=true.device) * (equal + 1)
    return below + ties.long()


def _counts(ranks: Tensor, num_bins: int, num_draws: int) -> Float[Tensor, "Q bins"]:
    """Return the number of ranks in each bin."""
    place = ranks * num_bins // (num_draws + 1)
    return torch.nn.functional.one_hot(place, num_bins).sum(0).double()


def chi_square(counts: Float[Tensor, "Q bins"]) -> Float[Tensor, " Q"]:
    """Return the p-values of the hypothesis that all bins of a row are equally likely.

    >>> p = chi_square(torch.tensor([[50.0, 50.0], [60.0, 40.0]]).double())
    >>> [round(value, 4) for value in p.tolist()]
    [1.0, 0.0455]
    """
    expected = counts.mean(1, keepdim=True)
    statistic = ((counts - expected).square() / expected).sum(1)
    half = torch.full_like(statistic, (counts.shape[1] - 1) / 2)
    return torch.special.gammaincc(half, statistic / 2)


def _verdict(names: Sequence[str], p: Sequence[float], uniform: Float[Tensor, "S Q"]) -> str:
    """Return whether q is calibrated, and how the worst quantities deviate."""
    order = sorted(range(len(names)), key=lambda q: p[q])
    wrong = [q for q in order if p[q] * len(p) < _LEVEL]
    if not wrong:
        least, told = order[0], f"over {len(p)} quantities"
        return f"q(z|x) is calibrated: the smallest p is {p[least]:.2g}, of {names[least]}, {told}"
    shown = [f"{names[q]} (p = {p[q]:.1g}, {_how(uniform[:, q])})" for q in wrong[:_WORST]]
    more = f" and {len(wrong) - _WORST} more" if len(wrong) > _WORST else ""
    return f"q(z|x) is not the posterior: ranks deviate in {', '.join(shown)}{more}"


def _how(uniform: Float[Tensor, " S"]) -> str:
    """Return how q differs from the posterior, from ranks in (0, 1)."""
    shift = uniform.mean().item() - 0.5
    spread = (12 * (uniform - 0.5).square().mean()).sqrt().item()
    if abs(shift) > _SHIFT and shift**2 * 12 > abs(spread - 1):
        return f"q is too {'low' if shift > 0 else 'high'}"
    if abs(spread - 1) > _SPREAD:
        return f"q is too {'narrow' if spread > 1 else 'wide'}"
    return "q has another shape"
