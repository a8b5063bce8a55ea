"""Laws of paired comparisons: what their intervals cover, and who may win."""

import math

import pytest
import torch

from vi.evaluation.methods import method_differences
from vi.evaluation.paired import Difference, Scores, differences, needed, scores
from vi.evaluation.verdict import advice, verdict

N, TRUTH = 100, 0.05


def simulated(n: int, sd: float, error: float, bounded: bool = True) -> Scores:
    """log p(x) with the noise of a log-mean-exp: too low by error^2 / 2, as its logarithm is."""
    value = sd * torch.randn(n, dtype=torch.float64)
    noise = (1 + error * torch.randn(n, dtype=torch.float64).clamp(-4, 4)).log()
    return Scores(value + noise, torch.full((n,), error, dtype=torch.float64), bounded, 2000)


def exact(value: torch.Tensor) -> Scores:
    return Scores(value.double(), torch.zeros(len(value)).double(), True)


def skewed(n: int) -> torch.Tensor:
    """Centred exponentials: few data on which one model is much worse."""
    return 1 - torch.empty(n, dtype=torch.float64).exponential_()


@pytest.mark.parametrize("error", [0.0, 0.05])
def test_intervals_cover_the_true_difference(error):
    """600 pairs, N = 100, skewed differences: 95 % within 4 s.e. of .89 %, 91.4 to 98.6 %.

    Caught: an interval of Monte-Carlo error only, no allowance for the bias of one of both.
    """
    torch.manual_seed(0)
    hits = 0
    for i in range(600):
        common = skewed(N)
        a, b = simulated(N, 0.2, error), simulated(N, 0.2, error / 2)
        a = a._replace(value=a.value + 0.3 * common + TRUTH)
        found = differences([a, b], resamples=300, seed=i)[0, 1]
        hits += found.lower <= TRUTH <= found.upper
    assert 0.914 <= hits / 600 <= 0.986


def test_intervals_of_all_pairs_hold_together():
    """5 equal models, 400 times: all 10 intervals contain 0 in 95 % within 4 s.e. of 1.1 %.

    Caught: the quantile of each pair for itself, which rejects one of ten in 29 %.
    """
    torch.manual_seed(0)
    hits = 0
    for i in range(400):
        found = differences([exact(torch.randn(60)) for _ in range(5)], resamples=300, seed=i)
        hits += all(pair.sign == 0 for pair in found.values())
    assert 0.906 <= hits / 400 <= 0.994


def test_two_evaluations_of_one_model_are_undecided():
    """100 times, K = 2 000: decided at most 3 times. Caught: independent errors of the data."""
    torch.manual_seed(0)
    decided = 0
    for i in range(100):
        value = 5 * torch.randn(1000, dtype=torch.float64)
        a, b = (simulated(1000, 0.0, 0.02) for _ in range(2))
        pair = [s._replace(value=s.value + value) for s in (a, b)]
        decided += differences(pair, resamples=300, seed=i)[0, 1].sign != 0
    assert decided <= 3


def test_a_better_model_is_found_where_unpaired_errors_hide_it():
    """Data differ by 20 nats, models by .3 ± .2 on each. Caught: the errors of both added."""
    torch.manual_seed(0)
    common = 20 * torch.randn(200).double()
    a = exact(common + 0.3 + 0.2 * torch.randn(200).double())
    found = differences([exact(common), a])[0, 1]
    assert found.sign == -1
    assert found.value == pytest.approx(-0.3, abs=0.06)
    assert found.upper - found.lower < 0.08


@pytest.mark.parametrize(
    ("bounded", "signs"),
    [
        ((True, True), (1, -1, 0)),
        ((False, True), (1, 0, 0)),  # a is a lower bound: it wins, and never loses
        ((True, False), (0, -1, 0)),
        ((False, False), (0, 0, 0)),
    ],
)
def test_a_lower_bound_can_win_and_never_lose(bounded, signs):
    """For a - b of 1, -1 and 0 on average. Caught: both ends kept, the wrong end opened."""
    torch.manual_seed(0)
    for shift, sign in zip((1.0, -1.0, 0.0), signs, strict=True):
        a, b = (simulated(200, 0.3, 0.01, of) for of in bounded)
        a = a._replace(value=a.value + shift)
        found = differences([a, b])[0, 1]
        assert found.sign == sign
        assert math.isfinite(found.upper) == bounded[0]
        assert math.isfinite(found.lower) == bounded[1]
        backwards = differences([b, a])[0, 1]
        assert backwards.sign == -sign
        assert backwards.lower == pytest.approx(-found.upper)


@pytest.mark.parametrize(
    ("lower", "upper", "words"),
    [
        (0.1, 0.3, "A is better than B by 0.20 nats per datum (95 % interval 0.10 to 0.30"),
        (-0.3, -0.1, "B is better than A by 0.20"),
        (0.1, math.inf, "A is better than B by at least 0.10 nats per datum"),
        (-math.inf, -0.1, "B is better than A by at least 0.10"),
        (-0.1, math.inf, "undecided between A and B: A is a lower bound, so it may be better"),
        (-math.inf, 0.1, "undecided between A and B: B is a lower bound, so it may be better"),
        (-math.inf, math.inf, "undecided between A and B: A and B are lower bounds"),
        (-0.1, 0.5, "undecided between A and B: their difference is 0.20 nats per datum"),
    ],
)
def test_verdicts_in_words(lower, upper, words):
    sign = -1 if upper < 0 else 1
    found = Difference(sign * 0.2, lower, upper, 0.05, 0.0, 0.0, 1000)
    said = verdict(("A", "B"), found)
    assert said.startswith(words)
    assert "1 000 test data" in said
    one = exact(torch.zeros(3))
    more = advice(found, (one, one), 1000)
    assert (more is None) == (found.sign != 0)
    if math.isinf(lower + upper) and more is not None:
        assert "escalating" in more


def test_what_is_needed_decides():
    """That many data of the same kind decide. Caught: the error over data removed by draws."""
    torch.manual_seed(0)
    a, b = simulated(400, 0.5, 0.0), simulated(400, 0.0, 0.0)
    a = a._replace(value=a.value - a.value.mean() + 0.03)
    found = differences([a, b])[0, 1]
    assert found.sign == 0
    need = needed(found)
    assert need.samples is None
    assert need.data == pytest.approx(400 * (2 * found.error / 0.03) ** 2, rel=0.1)
    assert need.data is not None
    more = exact(a.value.repeat(need.data // 400 + 2))
    assert differences([more, exact(torch.zeros(len(more.value)))])[0, 1].sign == 1


def test_draws_decide_where_their_error_dominates():
    """0.05 nats of Monte-Carlo error on each datum, and none between the data."""
    torch.manual_seed(0)
    error = torch.full((100,), 0.05).double()
    a = Scores(0.05 * torch.randn(100).double(), error, True, 2000)
    a = a._replace(value=a.value - a.value.mean() + 0.008)
    b = exact(torch.zeros(100))
    found = differences([a, b])[0, 1]
    assert found.sign == 0
    need = needed(found)
    assert need.samples == 4.0
    said = advice(found, (a, b), 100)
    assert said is not None
    assert "or K = 8 000 would decide it" in said
    sharp = a._replace(value=0.5 * (a.value - 0.008) + 0.008, error=0.5 * a.error)
    assert differences([sharp, b])[0, 1].sign == 1


def test_a_budget_makes_the_difference_estimator():
    """Mean and error of a random half of the data that need it. Caught: the others left as is.

    1 000 data of which 300 need it, 100 were measured again: the mean over 300 repetitions is the
    truth within 4 s.e., and the stated error is theirs within 20 %.
    """
    torch.manual_seed(0)
    k = torch.where(torch.arange(1000) < 300, 2.0, 0.0).double()
    k += 0.1 * torch.randn(1000).double()
    means, errors = [], []
    for _ in range(300):
        truth = torch.randn(1000).double()
        low = truth - torch.where(k > 1, 1 + torch.rand(1000).double(), 0.0)
        picked = torch.zeros(1000, dtype=torch.bool)
        picked[torch.randperm(300)[:100]] = True
        columns = {
            "log_likelihood": low.where(~picked, truth),
            "encoder_log_likelihood": low,
            "encoder_pareto_k": k,
            "standard_error": torch.zeros(1000).double(),
            "rung": torch.where(picked, 3.0, 2.0).double(),
        }
        found = scores(columns, {"log_likelihood_samples": 5000, "rung_waiting": 0.2})
        assert not found.bounded
        means.append(found.value.mean().item())
        errors.append((found.value.std() / math.sqrt(1000)).item())
    means = torch.tensor(means)
    assert means.mean().abs() < 4 * means.std() / math.sqrt(300)
    assert torch.tensor(errors).mean().item() == pytest.approx(means.std().item(), rel=0.2)


def test_an_exact_model_is_exact():
    columns = {"log_evidence": torch.zeros(3), "log_likelihood": torch.ones(3)}
    found = scores(columns, {})
    assert found.bounded
    assert not found.value.any()
    assert not found.error.any()


def methods(n: int, seeds: tuple[int, int], spread: float) -> list[list[Scores]]:
    """Seeds that shift all data, and see the same data."""
    common = 5 * torch.randn(n).double()
    apart = 0.3 * torch.randn(n).double()  # what one method does better on some data

    def one(which: int) -> Scores:
        own = spread * torch.randn(()).double() + 0.1 * torch.randn(n).double()
        return exact(common + which * apart + own)

    return [[one(which) for _ in range(count)] for which, count in enumerate(seeds)]


@pytest.mark.parametrize("seeds", [(3, 3), (3, 5)])
def test_intervals_of_methods_cover_other_seeds_and_data(seeds):
    """Equal methods, 1 000 times: 0 is covered in 95 % within 4 s.e. of .7 %.

    Caught: the intervals of the models, which cover less than 80 %; two seeds, with 90 to 92 %.
    """
    torch.manual_seed(0)
    hits = alone = 0
    for i in range(1000):
        groups = methods(100, seeds, 0.1)
        hits += method_differences(groups)[0, 1].found.sign == 0
        if i < 200:
            alone += differences([groups[0][0], groups[1][0]], resamples=200)[0, 1].sign == 0
    assert 0.922 <= hits / 1000 <= 0.978
    assert alone / 200 < 0.8


def test_a_method_that_is_better_wins_and_a_bound_of_one_seed_cannot_lose():
    torch.manual_seed(0)
    worse, better = methods(1000, (3, 3), 0.02)
    better = [s._replace(value=s.value + 1) for s in better]
    compared = method_differences([better, worse])[0, 1]
    assert compared.found.sign == 1
    assert 0 < compared.seeds < 1
    worse[1] = worse[1]._replace(bounded=False)
    assert method_differences([better, worse])[0, 1].found.sign == 0
