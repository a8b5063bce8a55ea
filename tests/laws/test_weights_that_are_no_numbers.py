"""What importance sampling does with weights that are 0, infinite or NaN, and with no memory."""

import math

import pytest
import torch
from torch.distributions import Distribution, Independent, Normal, Uniform

import vi
from tests.support.oracles import LinearGaussian, inflated
from vi.data.base import Values
from vi.distributions.delta import Delta
from vi.errors import ConfigurationError, NumericsError
from vi.evaluation.log_weights import LogWeights
from vi.evaluation.over_split import evaluate
from vi.models.base import LatentVariableModel


class Box(LatentVariableModel):
    """z uniform on (0, 1), x ~ N(z, 1), and a q that leaves the box: weights are 0 outside.

    Args:
        loc: The mean of q; its deviation is 1.
    """

    data_shape = (1,)

    def __init__(self, loc: float = 0.5) -> None:
        super().__init__()
        self.loc = loc

    def prior(self, **given):
        return Independent(Uniform(torch.zeros(1), torch.ones(1), validate_args=False), 1)

    def likelihood(self, z, **given):
        return Independent(Normal(z, 1.0), 1)

    def posterior(self, x, **given):
        return Independent(Normal(torch.full_like(x, self.loc), 1.0), 1)

    def truth(self, x):
        below, above = (Normal(0.0, 1.0).cdf(x[:, 0] - end) for end in (0.0, 1.0))
        return (below - above).log()


def test_weights_of_zero_are_weights():
    """The value is log p(x) within 4 s.e.; it is not exact. Caught: rounding of infinite size."""
    model, x = Box(), torch.tensor([[0.3], [-1.0], [2.0]])
    found = vi.log_likelihood(model, x, 4000)
    error = found.standard_error
    assert (error > 0.005).all()
    assert ((found.value - model.truth(x)).abs() <= 4 * error).all()
    assert found.pareto_k.isfinite().all()


def test_no_weight_at_all_says_nothing():
    """log p(x) >= -inf, with no error that is finite; the mean of a data set is refused.

    Caught: equal weights of 0, told as exact.
    """
    model, x = Box(loc=50.0), torch.zeros(3, 1)
    found = vi.log_likelihood(model, x, 2000)
    assert found.value.tolist() == [-math.inf] * 3
    assert found.standard_error.tolist() == found.pareto_k.tolist() == [math.inf] * 3
    assert found.effective_sample_size.tolist() == [0.0] * 3
    assert not found.reliable.any()
    with pytest.raises(NumericsError, match="no draw of z gives 3 of 3 data a positive p") as told:
        evaluate(model, Values(x), vi.LogWeightELBO(), vi.ImportanceSampling(2000), repeats=1)
    assert "widen" in told.value.hint


def test_few_weights_that_are_not_zero():
    """3 of 5 000: their tail reaches among the zeros; nothing is NaN, and nothing is stated."""
    log_joint = torch.full((5000, 2), -math.inf)
    log_joint[[7, 90, 4000]] = torch.tensor([[0.0, 1.0], [0.5, 1.0], [0.1, 1.0]])
    seen = LogWeights(5000)
    for block in log_joint.split(500):
        seen.add(block, torch.zeros_like(block))
    found = seen.estimates(5000)
    assert found.value.tolist() == pytest.approx(
        (log_joint.logsumexp(0) - math.log(5000)).tolist(), abs=1e-12
    )
    assert found.effective_sample_size.tolist() == pytest.approx([2.86, 3.0], abs=0.01)
    assert not found.pareto_k.isnan().any()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_weight_that_is_no_number_is_refused(bad):
    """With the number of such data and the first one, of the split. Caught: the row of a batch."""

    class Broken(LinearGaussian):
        def log_joint(self, x, z, **given):
            return super().log_joint(x, z, **given).where(x[:, 0] < 100, bad)

    torch.manual_seed(0)
    model = Broken.random(3, 2, inflated(1.2))
    x = torch.randn(30, 3)
    x[[17, 25], 0] = 200.0
    with pytest.raises(NumericsError, match=r"for 2 of 30 data \(first: item 17\)"):
        vi.log_likelihood(model, x, 10)
    parts = model, Values(x), vi.ELBO(), vi.ImportanceSampling(10)
    with pytest.raises(NumericsError, match=r"for 1 of 7 data \(first: item 17\)"):
        evaluate(*parts, batch_size=7, repeats=1)


class Unscored(Distribution):
    """A q without a density."""

    arg_constraints = {}

    def __init__(self, like):
        super().__init__(like.shape[:1], torch.Size([2]), validate_args=False)

    def sample(self, sample_shape=()):
        return torch.randn(*sample_shape, *self.batch_shape, 2)


@pytest.mark.parametrize("q", [Unscored, Delta])
def test_a_q_without_a_density_is_refused(q):
    model = LinearGaussian.random(3, 2, lambda model, x: q(x[:, :2]))
    with pytest.raises(ConfigurationError, match=f"{q.__name__} cannot be drawn and scored"):
        vi.log_likelihood(model, torch.randn(4, 3), 10)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nMore text"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_exhausted_memory_is_told_in_one_line(error):
    """As a NumericsError, exit code 5; other errors are left alone."""

    class Huge(LinearGaussian):
        def log_joint(self, x, z, **given):
            raise error

    model = Huge.random(3, 2)
    with pytest.raises(NumericsError, match="the memory ran out while 16 data were") as told:
        vi.log_likelihood(model, torch.randn(4, 3), 10)
    assert "\n" not in str(told.value)
    error = RuntimeError("shapes differ")
    with pytest.raises(RuntimeError, match="shapes differ"):
        vi.log_likelihood(model, torch.randn(4, 3), 10)
