"""Where an interval of a mean is stated after annealing, or from a part of the data, it covers."""

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

import vi
from tests.laws.test_escalating import CASES
from tests.support.oracles import LinearGaussian
from vi.evaluation.escalation.difference import difference_estimate
from vi.evaluation.escalation.progress import Reached
from vi.evaluation.escalation.rungs import Rung

N, CHAINS = 100, 16


class Fixed(LinearGaussian):
    """With q scaled and shifted by so many standard deviations of the posterior."""

    def moved(self, case: tuple[float, float]) -> "Fixed":
        def infer(model: LinearGaussian, x: Tensor) -> MultivariateNormal:
            exact, (scale, shift) = model.exact_posterior(x), case
            loc = exact.loc + shift * exact.scale_tril[..., 0]
            return MultivariateNormal(loc, scale_tril=scale * exact.scale_tril)

        self.infer = infer
        return self


def annealed(case: tuple[float, float], dim: int, temperatures: int, seed: int):
    """(numbers of the mean over 100 data, without refinement, and the exact mean)."""
    torch.manual_seed(seed)
    model = Fixed.random(2 * dim, dim).moved(case)
    x = model.sample(N)
    evaluation = vi.AnnealedImportanceSampling(vi.Sigmoidal(), CHAINS, temperatures, 5)
    return evaluation.summarize(evaluation(model, x)), model.log_evidence(x).mean().item()


def covers(numbers: dict[str, float], exact: float) -> bool | None:
    """Whether the interval covers; None if none is stated."""
    if "log_likelihood_upper" not in numbers:
        return None
    slack = 1e-9  # of constant weights
    lower, upper = numbers["log_likelihood_lower"], numbers["log_likelihood_upper"]
    return lower - slack <= exact <= upper + slack


@pytest.mark.slow
@pytest.mark.parametrize("dim", [3, 10])
def test_stated_intervals_of_annealed_means_cover(dim):
    """10 cases, 20 and 100 temperatures, 10 seeds: at least 92 % of those that are stated.

    They are stated for most, and never for a narrow q in ten dimensions at 20 temperatures, where
    the mean lies up to 3 nats too low.
    """
    found = [
        covers(*annealed(case, dim, temperatures, seed))
        for case in CASES
        for temperatures in (20, 100)
        for seed in range(10)
    ]
    stated = [one for one in found if one is not None]
    assert len(stated) >= 80
    assert sum(stated) >= 0.92 * len(stated)


@pytest.mark.parametrize(("case", "stated"), [((1.3, 0), True), ((0.2, 0), False)])
def test_an_interval_of_an_annealed_mean_is_earned(case, stated):
    """Also the one that is withheld would not have covered. Caught: one for every sample."""
    numbers, exact = annealed(case, 10, 20, 0)
    assert covers(numbers, exact) is (True if stated else None)
    if not stated:
        reach = 2 * numbers["log_likelihood_se"]
        assert exact > numbers["log_likelihood"] + reach


@pytest.mark.parametrize(("share", "num_unfit"), [(0.1, 1000), (0.5, 400), (1.0, 400)])
def test_the_mean_of_a_part_covers_the_mean_of_all(share, num_unfit):
    """400 random parts: 92 to 98 % of the intervals cover, and 99.9 % at a standard error of 4.

    Caught: the mean difference over all data, a variance without the finite population.
    """
    torch.manual_seed(0)
    n, hits, wide = 1000, 0, 0
    for _ in range(400):
        truth = -90 + 5 * torch.randn(n)
        error = torch.full((n,), 0.1)
        unfit = torch.randperm(n) < num_unfit
        first = truth + error * torch.randn(n) - unfit * (1 + torch.rand(n).square())
        order = torch.randperm(n)
        part = torch.zeros(n, dtype=torch.bool)
        part[order[unfit[order]][: int(share * num_unfit)]] = True
        last = torch.where(part, truth + error * torch.randn(n), first)
        k = torch.where(unfit, 2.0, 0.1 + 0.01 * torch.rand(n))
        columns = {
            "log_likelihood": last,
            "standard_error": error,
            "encoder_log_likelihood": first,
            "encoder_pareto_k": k,
            "effective_sample_size": torch.full((n,), 15.0),
            "chains": torch.full((n,), 16.0),
            "acceptance": torch.full((n,), 0.6),
            "rung": torch.where(part, float(Rung.ANNEALED), float(Rung.ENCODER)),
        }
        numbers = difference_estimate(columns, Reached(columns, 5000))
        off = truth.mean().item() - numbers["log_likelihood"]
        hits += abs(off) <= 2 * numbers["log_likelihood_se"]
        wide += abs(off) <= 4 * numbers["log_likelihood_se"]
        assert numbers["log_likelihood_upper"] > numbers["log_likelihood_lower"]
    assert 0.92 <= hits / 400 <= 0.985
    assert wide >= 399
