"""Missing entries drop out of the likelihood, and their values have no effect.

Imputations are conditional means, and the truth is scored by its conditional density.
"""

import pytest
import torch
from torch import Tensor
from torch.distributions import (
    Distribution,
    Independent,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
)

import vi
from tests.support.oracles import LinearGaussian
from vi.data.base import Split, Values
from vi.distributions.datum_noise import datum_noise
from vi.distributions.draw import draw
from vi.distributions.observed import Observed
from vi.errors import ConfigurationError
from vi.evaluation.imputation import impute
from vi.evaluation.impute_split import imputation_numbers, impute_split
from vi.evaluation.independent_entries import EntryFrequencies, EntryGaussians
from vi.evaluation.log_likelihood import chunks, log_likelihood
from vi.math import log_mean_exp

BAR = 4.75  # a t-value above this has probability 2e-6
D, B = 6, 5


class PartlySeen(LinearGaussian):
    """Model with q the exact posterior of z given the observed entries, optionally widened."""

    width = 1.0

    def posterior(self, x: Tensor, observed: Tensor, **given: Tensor) -> Distribution:
        variance = (2 * self.log_scale).exp()
        seen = observed.to(x.dtype)[..., None] * self.weight  # (B, D, Z): rows of W, or 0
        precision = torch.eye(self.weight.shape[1]) + seen.mT @ self.weight / variance
        covariance = precision.inverse()
        distance = (x - self.loc).where(observed, 0.0)[..., None]
        mean = (covariance @ seen.mT @ distance).squeeze(-1) / variance
        return MultivariateNormal(mean, scale_tril=self.width * torch.linalg.cholesky(covariance))


def conditional(model: LinearGaussian, x: Tensor, observed: Tensor) -> MultivariateNormal:
    """Return p(x_missing | x_observed) of one datum, from the joint Gaussian."""
    whole = model.weight @ model.weight.mT + (2 * model.log_scale).exp() * torch.eye(len(x))
    across, within = whole[~observed][:, observed], whole[observed][:, observed]
    gain = torch.linalg.solve(within, across.mT).mT
    mean = model.loc[~observed] + gain @ (x - model.loc)[observed]
    return MultivariateNormal(mean, whole[~observed][:, ~observed] - gain @ across.mT)


@pytest.fixture
def half():
    """Data of a linear-Gaussian model, and which of their entries are observed."""
    model = PartlySeen.random(D, 2)
    x = model.sample(B)
    observed = torch.rand(B, D) < 0.5
    observed[:, 0], observed[:, 1] = True, False
    return model, x, observed


@pytest.fixture
def incomplete(small_vae):
    """A VAE, data with entries of every kind, and which of them are observed."""
    x = torch.randn(B, D)
    observed = torch.rand(B, D) < 0.5
    observed[0], observed[1] = True, False
    return small_vae(), x, observed


# --------------------------------------------------- against the exact numbers


@pytest.mark.parametrize("width", [1.0, 1.5])
@torch.no_grad()
def test_the_truth_is_as_probable_as_the_model_says(half, width):
    """log p(x_missing|x_observed) of a linear-Gaussian model, 5 data, K = 20 000, seed 0.

    |t| <= 4.75 in units of the estimate's own standard error, for the exact q(z|x_observed) and
    one that is half as wide again. Caught: the mask of the observed entries for the hidden ones;
    missing entries that stay in the likelihood.
    """
    model, x, observed = half
    model.width = width
    found = impute(model, x, 20_000, observed=observed, held_out=~observed)
    pairs = zip(x, observed, strict=True)
    exact = torch.stack([conditional(model, a, o).log_prob(a[~o]) for a, o in pairs])
    assert ((found.log_likelihood - exact) / found.standard_error).abs().max() <= BAR
    assert found.standard_error.max() < 0.1


@pytest.mark.parametrize("width", [1.0, 1.5])
@torch.no_grad()
def test_missing_entries_become_their_conditional_mean(half, width):
    """Each is E[x_d|x_observed] up to sd(E[x_d|z]) / sqrt(effective sample size): |t| <= 4.75.

    Caught: an encoder that treats all entries as observed; E[x|z] in observed entries.
    """
    model, x, observed = half
    model.width = width
    found = impute(model, x, 20_000, observed=observed)
    spread = model.weight @ model.posterior(x, observed).covariance_matrix @ model.weight.mT
    error = spread.diagonal(dim1=-2, dim2=-1).sqrt() / found.effective_sample_size[:, None].sqrt()
    for a, o, found_x, e in zip(x, observed, found.x, error, strict=True):
        exact = conditional(model, a, o).mean
        assert ((found_x[~o] - exact) / e[~o]).abs().max() <= BAR
        assert torch.equal(found_x[o], a[o])


@torch.no_grad()
def test_weights_undo_a_q_that_is_elsewhere(half):
    """Importance weights correct a q shifted by 0.7 sd and 1.5 times as wide: within 3 % of sd(x).

    Caught: the mean over q without its weights.
    """
    model, x, observed = half

    class Moved(PartlySeen):
        width = 1.5

        def posterior(self, x, observed, **given):
            q = super().posterior(x, observed)
            return MultivariateNormal(q.loc + 0.7 * q.stddev, scale_tril=q.scale_tril)

    moved = Moved(model.weight, model.loc, 0.7)
    found = impute(moved, x, 20_000, observed=observed).x
    for a, o, found_x in zip(x, observed, found, strict=True):
        assert (found_x[~o] - conditional(model, a, o).mean).abs().max() <= 0.06


@torch.no_grad()
def test_with_the_exact_posterior_the_weights_are_equal(half):
    model, x, observed = half
    found = impute(model, x, 300, observed=observed)
    torch.testing.assert_close(found.effective_sample_size, torch.full((B,), 300.0))


@torch.no_grad()
def test_it_is_the_difference_of_two_means_of_weights(incomplete, monkeypatch):
    """The estimate is log mean of the joint weights minus that of the observed ones: 1e-10.

    Draws in chunks of 4, 4, 2. Caught: chunks weighted alike; an error that forgets half of the
    covariance.
    """
    monkeypatch.setattr("vi.evaluation.log_likelihood._SAMPLES", {"cpu": 4})
    model, x, observed = incomplete
    torch.manual_seed(3)
    found = impute(model, x, 10, observed=observed, held_out=~observed)
    torch.manual_seed(3)
    q = model.posterior(x, observed=observed)
    drawn = [draw(q, size) for size in chunks(10, x)]
    z, log_q = torch.cat([at.z for at in drawn]), torch.cat([at.log_q for at in drawn])
    seen = model.log_joint(x, z, observed=observed) - log_q
    whole = model.log_joint(x, z) - log_q
    assert [len(at.z) for at in drawn] == [4, 4, 2]
    expected = log_mean_exp(whole, 0) - log_mean_exp(seen, 0)
    torch.testing.assert_close(found.log_likelihood, expected, rtol=0, atol=1e-10)
    mean = (seen.softmax(0)[..., None] * model.likelihood(z).mean).sum(0)
    torch.testing.assert_close(found.x, x.where(observed, mean), rtol=0, atol=1e-10)
    change = whole.softmax(0) - seen.softmax(0)
    error = change.square().sum(0).sqrt()
    torch.testing.assert_close(found.standard_error, error, rtol=0, atol=1e-7)


# ----------------------------------------------------------- nothing missing


@torch.no_grad()
def test_a_complete_datum_is_itself(incomplete):
    """A complete datum is returned bit by bit, with a log-density of 0 nats."""
    model, x, observed = incomplete
    found = impute(model, x, 50, observed=torch.ones_like(observed), held_out=~observed)
    assert torch.equal(found.x, x)
    assert found.log_likelihood.abs().max() == 0
    assert found.standard_error.abs().max() <= 1e-7


def _masked(make_likelihood, small_vae) -> tuple[vi.VAE, Tensor] | None:
    """Return a VAE and data of this likelihood, or None if its entries cannot be missing."""
    model = small_vae(likelihood=make_likelihood())
    x = model.sample(B).double()
    return None if _hangs_together(model.likelihood(torch.randn(B, 2))) else (model, x)


def _hangs_together(p: Distribution) -> bool:
    return not isinstance(p, Independent) or bool(p.base_dist.event_shape)


def test_a_mask_of_ones_is_no_mask(make_likelihood, small_vae):
    """ELBO, log p(x) and their gradient with all entries observed, every likelihood: 1e-10."""
    made = _masked(make_likelihood, small_vae)
    if made is None:
        return
    model, x = made
    results = []
    for given in ({}, {"observed": torch.ones_like(x, dtype=torch.bool)}):
        torch.manual_seed(5)
        value = vi.ELBO(num_samples=3)(model, x, **given).value
        gradient = torch.autograd.grad(value.sum(), list(model.parameters()))
        results.append([value, *gradient, log_likelihood(model, x, 7, **given).value])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


# ------------------------------------------------------- what stands in them


def test_what_stands_in_a_missing_entry_does_not_matter(make_likelihood, small_vae):
    """0, another datum's value or NaN in a missing entry give the same ELBO and gradient.

    Bit by bit, for every likelihood. Caught: an encoder that reads it.
    """
    made = _masked(make_likelihood, small_vae)
    if made is None:
        return
    model, x = made
    observed = torch.rand(B, D) < 0.5
    results = []
    for instead in (torch.zeros(()), x.flip(0), torch.tensor(torch.nan)):
        torch.manual_seed(5)
        value = vi.ELBO()(model, x.where(observed, instead), observed=observed).value
        gradient = torch.autograd.grad(value.sum(), list(model.parameters()))
        results.append([value, *gradient])
    for other in results[1:]:
        assert all(map(torch.equal, results[0], other))
    assert all(part.isfinite().all() for part in results[0])


@torch.no_grad()
def test_the_truth_is_scored_and_never_used(incomplete):
    """Another truth changes only its own log-likelihood; without a truth there is none."""
    model, x, observed = incomplete
    results = []
    for truth in (x, x.where(observed, 3.0)):
        torch.manual_seed(5)
        results.append(impute(model, truth, 50, observed=observed, held_out=~observed))
    one, other = results
    assert torch.equal(one.x, other.x)
    assert torch.equal(one.effective_sample_size, other.effective_sample_size)
    assert (one.log_likelihood[1:] != other.log_likelihood[1:]).all()
    unknown = impute(model, x.where(observed, torch.nan), 50, observed=observed)
    assert unknown.x.isfinite().all()
    assert unknown.log_likelihood.abs().max() == 0


def test_entries_that_hang_together_are_refused():
    whole = OneHotCategorical(torch.ones(4, 3))
    with pytest.raises(ConfigurationError, match="no independent entries that could be missing"):
        Observed(whole, torch.ones(4, 3, dtype=torch.bool))


# --------------------------------------------------------------- a data set


def _splits(n: int = 23) -> tuple[Split, Split]:
    observed = torch.rand(n, D) < 0.5
    truth = torch.randn(n, D)
    truth[:3, 0], observed[:3, 0] = torch.nan, False
    return Values(truth).with_observed(observed), Values(torch.randn(90, D))


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_the_batch_size_changes_no_number(small_vae, batch_size):
    model = small_vae()
    split, train = _splits()
    whole = impute_split(model, split, train, 30, batch_size=23)
    cut = impute_split(model, split, train, 30, batch_size=batch_size)
    for name, column in whole.items():
        torch.testing.assert_close(cut[name], column, rtol=1e-12, atol=1e-12, equal_nan=True)
    some = impute_split(model, split, train, 30, limit=5)
    torch.testing.assert_close(some["x"], whole["x"][[0, 4, 9, 13, 18]], rtol=1e-12, atol=1e-12)
    other = impute_split(model, split, train, 30, seed=1)
    assert not torch.allclose(other["x"], whole["x"])


def test_the_numbers_of_a_data_set(small_vae):
    """Scores per datum and per entry omit entries whose truth is not known."""
    split, train = _splits()
    columns = impute_split(small_vae(), split, train, 30)
    numbers = imputation_numbers(columns)
    hidden = ~split.observed & ~split.stored.isnan()
    n, entries = 23, int(hidden.sum())
    assert (numbers["count"], numbers["held_out_entries"]) == (n, entries)
    assert numbers["missing_entries"] == entries + 3
    mean, std = train.stored.mean(0), train.stored.std(0, correction=0)
    log_p = Normal(mean, std, validate_args=False).log_prob(split.stored)
    alone = log_p.where(hidden, 0.0).sum().item()
    assert numbers["independent_log_likelihood"] == pytest.approx(alone / n)
    assert numbers["independent_log_likelihood_per_entry"] == pytest.approx(alone / entries)
    total = columns["log_likelihood"].sum().item()
    assert numbers["held_out_log_likelihood"] == pytest.approx(total / n)
    assert numbers["held_out_log_likelihood_per_entry"] == pytest.approx(total / entries)
    assert torch.equal(columns["truth"].isnan(), split.stored.isnan())


def test_the_numbers_without_a_truth(small_vae):
    split, train = _splits()
    split.stored[~split.observed] = torch.nan
    numbers = imputation_numbers(impute_split(small_vae(), split, train, 5))
    assert numbers["held_out_entries"] == 0
    assert "held_out_log_likelihood" not in numbers


def test_complete_data_are_refused(small_vae):
    _, train = _splits()
    with pytest.raises(ConfigurationError, match="nothing is missing") as caught:
        impute_split(small_vae(), train, train, 5)
    assert "data.hidden_fraction=0.5" in caught.value.hint
    split, _ = _splits()
    for wrong in ({"limit": 0}, {"batch_size": 0}, {"num_samples": 0}):
        with pytest.raises(ConfigurationError, match="must be greater than 0"):
            impute_split(small_vae(), split, train, **wrong)


# ------------------------------------------------- models without a latent


def test_frequencies_are_laplaces():
    """Laplace's smoothed frequencies, entry by entry, over three blocks: at most 1e-12.

    By hand, for a shape (2, 2) and numbers 0, 1/3, 1.
    """
    x = torch.randint(0, 3, (40, 2, 2)).double() / 3
    x[x == 2 / 3] = 1
    observed = torch.rand(40, 2, 2) < 0.7
    model = EntryFrequencies(lambda: zip(x.chunk(3), observed.chunk(3), strict=True))
    for value in (0.0, 1 / 3, 1.0):
        p = model.log_prob(torch.full((1, 2, 2), value))[0].exp()
        count = ((x == value) & observed).sum(0)
        expected = (count + 1) / (observed.sum(0) + 3).double()
        torch.testing.assert_close(p, expected, rtol=0, atol=1e-12)
    new = model.log_prob(torch.full((1, 2, 2), 0.5))[0].exp()
    torch.testing.assert_close(new, 1 / (observed.sum(0) + 3).double(), rtol=0, atol=1e-12)


def test_the_frequencies_of_the_digits_have_their_known_number():
    """The baseline on the 200 test digits is -27.2 nats, as the README says."""
    data = vi.data.Digits().load()
    train = data.train.frozen(0).values(torch.arange(1397))
    model = EntryFrequencies(lambda: [(train, torch.ones_like(train, dtype=torch.bool))])
    nats = model.log_prob(data.test.values(torch.arange(200))).flatten(1).sum(1).mean().item()
    assert nats == pytest.approx(-27.2, abs=0.1)


def test_gaussians_have_mean_and_sd_of_what_was_seen():
    """The baseline has the mean and sd of the observed values, and sd 1 if an entry does not vary.

    NaN in unobserved entries has no effect.
    """
    x, observed = 100 + torch.randn(40, 3), torch.rand(40, 3) < 0.7
    x[:, 2] = 5.0
    model = EntryGaussians(
        lambda: zip(x.where(observed, torch.nan).chunk(3), observed.chunk(3), strict=True)
    )
    for d in range(3):
        seen = x[observed[:, d], d]
        assert model.loc[d].item() == pytest.approx(seen.mean().item(), rel=1e-12)
        std = seen.std(correction=0).item() if d < 2 else 1.0
        assert model.scale[d].item() == pytest.approx(std, rel=1e-9)


@torch.no_grad()
def test_noise_belongs_to_the_datum(incomplete):
    model, x, observed = incomplete
    with datum_noise(0, [3, 4, 5, 6, 7]):
        whole = impute(model, x, 20, observed=observed).x
    with datum_noise(0, [5]):
        one = impute(model, x[2:3], 20, observed=observed[2:3]).x
    torch.testing.assert_close(whole[2:3], one, rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_single_precision_follows_double(incomplete):
    """float32 agrees with float64 for the same draws to 1e-5 relative.

    Log-weights of -1000 and more.
    """
    model, x, observed = incomplete
    x = x * 30
    results = []
    for dtype in (torch.float64, torch.float32):
        model.to(dtype)
        q = model.posterior(x.to(dtype), observed=observed)
        noise = torch.randn(50, B, 2, generator=torch.Generator().manual_seed(0))
        fixed = _Fixed(q, noise)
        model.posterior = lambda *a, fixed=fixed, **k: fixed
        results.append(impute(model, x.to(dtype), 50, observed=observed, held_out=~observed))
        del model.posterior
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(other.double(), one, rtol=1e-4, atol=1e-3)


class _Fixed(Distribution):
    """Gaussian whose draws come from given noise."""

    has_rsample = True
    arg_constraints = {}

    def __init__(self, q: Independent, noise: Tensor) -> None:
        super().__init__(q.batch_shape, q.event_shape, validate_args=False)
        self.q, self.noise = q, noise

    def rsample(self, sample_shape=()):
        return self.q.mean + self.q.stddev * self.noise.to(self.q.mean.dtype)

    def log_prob(self, value):
        return self.q.log_prob(value)
