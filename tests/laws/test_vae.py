"""The VAE: units of the data, refusals, and what a model gives for free."""

import pytest
import torch
from torch.distributions import Independent, Laplace, Normal, StudentT, constraints

import vi
from vi.distributions.affine import affine
from vi.errors import ConfigurationError


def _raw(n: int = 40) -> torch.Tensor:
    """Data whose six dimensions have very different units."""
    return torch.randn(n, 6) * torch.tensor([1e-3, 0.1, 1.0, 7.0, 100.0, 1e4]) + 3


def _pair(small_vae, likelihood, x):
    """The same weights: one told raw data, one data standardised by hand."""
    raw = small_vae(likelihood=likelihood(), standardize=True)
    raw.initialize(x)
    standardised = small_vae(likelihood=likelihood())
    standardised.load_state_dict(raw.state_dict(), strict=False)
    return raw, standardised, (x - x.mean(0)) / x.std(0)


def test_standardised_density_is_in_the_units_of_the_data(small_vae, make_real_likelihood):
    """Change of variables: log p(x|z) + sum log sd = log p((x - mean) / sd | z): at most 1e-10.

    Caught: a forgotten Jacobian (the scale not multiplied), a mean not carried back.
    """
    x = _raw()
    raw, standardised, y = _pair(small_vae, make_real_likelihood, x)
    z = torch.randn(3, 40, 2)
    jacobian = x.std(0).log().sum()
    difference = raw.likelihood(z).log_prob(x) + jacobian - standardised.likelihood(z).log_prob(y)
    assert difference.abs().max() <= 1e-10


def test_standardised_bound_is_in_the_units_of_the_data(
    small_vae, make_real_likelihood, make_elbo
):
    """The same for the whole bound and the same noise: at most 1e-10."""
    x = _raw()
    raw, standardised, y = _pair(small_vae, make_real_likelihood, x)
    values = []
    for model, seen in ((raw, x), (standardised, y)):
        torch.manual_seed(5)
        values.append(make_elbo(num_samples=3)(model, seen).value)
    assert (values[0] + x.std(0).log().sum() - values[1]).abs().max() <= 1e-10


def test_standardised_samples_are_in_the_units_of_the_data(small_vae):
    """Samples, means and reconstructions are carried back: relative 1e-10."""
    x = _raw()
    raw, standardised, y = _pair(small_vae, vi.SharedScaleGaussian, x)
    back = lambda y: x.mean(0) + x.std(0) * y
    for call, arguments in (("sample", (7, 7)), ("sample_mean", (7, 7)), ("reconstruct", (x, y))):
        torch.manual_seed(5)
        one = getattr(raw, call)(arguments[0])
        torch.manual_seed(5)
        other = back(getattr(standardised, call)(arguments[1]))
        assert (one / other - 1).abs().max() <= 1e-8


def test_a_constant_column_is_not_divided_by_zero(small_vae):
    """A pixel that is always 0, and one that is always 0.1, a number that bits cannot hold.

    Caught: the sd taken as it is.
    """
    x = _raw(1000)
    x[:, 1], x[:, 2] = 0.0, 0.1
    model = small_vae(standardize=True)
    model.initialize(x)
    assert model.data_scale.min() > 1e-4
    assert model.likelihood(torch.randn(1000, 2)).log_prob(x).max() < 100


def test_a_column_without_data_is_left_as_it_is(small_vae):
    """It has no mean. Caught: the mean of nothing, NaN, in every gradient."""
    x = _raw(100)
    x[:, 1] = torch.nan
    model = small_vae(standardize=True)
    model.initialize(x)
    assert model.data_loc[1] == 0
    assert model.data_scale[1] == 1
    bound = vi.ELBO()(model, x.nan_to_num(), observed=~x.isnan())
    bound.surrogate.sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_statistics_of_the_data_are_saved(small_vae):
    """Mean and sd are in the state, so a loaded model has them."""
    x = _raw()
    model, other = small_vae(standardize=True), small_vae(standardize=True)
    model.initialize(x)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.data_scale, model.data_scale)
    assert torch.allclose(other.data_scale, x.std(0), rtol=1e-12)


def test_bits_stay_as_they_are(small_vae, data):
    """Bits have no other units: a model that standardises is the one that does not."""
    model, plain = (small_vae(likelihood=vi.Bernoulli(), standardize=s) for s in (True, False))
    x = (data > 1).to(data)
    model.initialize(x)
    plain.load_state_dict(model.state_dict(), strict=False)
    z = torch.randn(50, 2)
    assert torch.equal(model.likelihood(z).log_prob(x), plain.likelihood(z).log_prob(x))
    assert torch.equal(model.posterior(x).mean, plain.posterior(x).mean)


@pytest.mark.parametrize(
    ("family", "arguments"),
    [(Normal, (1.0, 2.0)), (Laplace, (1.0, 2.0)), (StudentT, (5.0, 1.0, 2.0))],
)
def test_affine_is_the_change_of_variables(family, arguments):
    """log p'(a + b x) + log b = log p(x), other parameters kept: at most 1e-12.

    Caught: a scale that is not multiplied; degrees of freedom that are lost.
    """
    p = family(*(torch.full((4, 3), a) for a in arguments))
    a, b, x = torch.randn(3), torch.rand(3) + 0.5, torch.randn(4, 3)
    assert (affine(p, a, b).log_prob(a + b * x) + b.log() - p.log_prob(x)).abs().max() <= 1e-12
    event = affine(Independent(p, 1), a, b)
    whole = event.log_prob(a + b * x) + b.log().sum() - Independent(p, 1).log_prob(x)
    assert whole.abs().max() <= 1e-12


def test_refuses_latents_of_two_sizes(small_vae):
    with pytest.raises(
        vi.ConfigurationError, match=r"posterior has latent shape \(2,\), prior .*3"
    ):
        small_vae(prior=vi.StandardNormal(3))


def test_refuses_latents_on_two_supports(small_vae):
    class Bits(vi.StandardNormal):
        support = constraints.boolean

    with pytest.raises(vi.ConfigurationError, match="lives on Real, prior Bits on Boolean"):
        small_vae(prior=Bits(2))


@pytest.mark.parametrize(("width", "got"), [(None, "got none"), (2, "got one of width 2")])
def test_refuses_a_missing_or_wrong_context(small_vae, data, width, got):
    """For posterior and likelihood alike."""
    model = small_vae(context_dim=3)
    given = {} if width is None else {"context": torch.randn(50, width)}
    with pytest.raises(vi.ConfigurationError, match=f"context of width 3, {got}"):
        model.posterior(data, **given)
    with pytest.raises(vi.ConfigurationError, match=f"context of width 3, {got}"):
        model.likelihood(torch.randn(50, 2), **given)


def test_log_joint_is_the_sum_of_its_parts(small_vae, data):
    """log p(x, z) = log p(x|z) + log p(z), (K, B): at most 1e-12. Caught: log p(z) left out."""
    model, z = small_vae(), torch.randn(4, 50, 2)
    by_hand = (
        model.likelihood(z).log_prob(data)
        - (z**2 / 2).sum(-1)
        - torch.log(torch.tensor(2 * torch.pi))
    )
    assert model.log_joint(data, z).shape == (4, 50)
    assert (model.log_joint(data, z) - by_hand).abs().max() <= 1e-12


def test_what_a_model_gives_for_free(small_vae, data):
    """Shapes of sample, encode and reconstruct, and no graph behind them."""
    model = small_vae()
    shapes = {"sample": (7, 6), "sample_mean": (7, 6)}
    for call, shape in shapes.items():
        assert getattr(model, call)(7).shape == shape
        assert not getattr(model, call)(7).requires_grad
    assert model.encode(data).shape == (50, 2)
    assert torch.equal(model.encode(data), model.posterior(data).mean)
    assert model.reconstruct(data).shape == (50, 6)
    assert model.sample(3).std() > 0


def test_samples_have_the_moments_of_the_model():
    """Mean and covariance of 200 000 samples of a linear VAE, seed 0, within 4 s.e.

    14 numbers: fails by chance once in 1 100. Caught: sample_mean in place of sample.
    """
    model = vi.VAE(
        (2,), vi.MLP([]), vi.MLP([]), vi.DiagonalGaussian(3), vi.StandardNormal(3),
        vi.FixedScaleGaussian(scale=0.7),
    )  # fmt: skip
    layer = model.decoder.layers[0]
    covariance = layer.weight @ layer.weight.mT + 0.49 * torch.eye(2)
    deviation = model.sample(200_000) - layer.bias
    products = deviation[:, :, None] * deviation[:, None] - covariance
    for zero_mean in (deviation, products):
        error = zero_mean.std(0) / 200_000**0.5
        assert (zero_mean.mean(0).abs() <= 4 * error).all()


def test_a_column_that_is_constant_up_to_rounding_is_not_magnified(small_vae, data):
    """Caught: a standard deviation of 3e-16, which added 35 nats to every log-likelihood."""
    data[:, 2] = 5.0
    data[3, 2] += 2e-15
    model = small_vae(standardize=True)
    model.initialize(data)
    assert model.data_scale[2] == 1
    others = [0, 1, 3, 4, 5]
    assert torch.allclose(model.data_scale[others], data.std(0)[others], rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: vi.DiagonalGaussian(0), "latent_dim"),
        (lambda: vi.StandardNormal(-1), "latent_dim"),
        (lambda: vi.FixedScaleGaussian(0.0), "scale"),
        (lambda: vi.SharedScaleGaussian(scale=1e-3, floor=1e-2), "scale"),
        (lambda: vi.Gaussian(floor=-1.0), "floor"),
        (lambda: vi.ELBO(0), "num_samples"),
        (lambda: vi.IWAE(0), "num_samples"),
        (lambda: vi.Beta(vi.ELBO(), beta=-1.0), "beta"),
    ],
)
def test_a_number_that_cannot_be_right_is_named(make, name):
    with pytest.raises(ConfigurationError, match=f"{name} must be greater than"):
        make()


def test_a_head_belongs_to_one_model(small_vae):
    """Caught: a likelihood that was silently re-shaped by a second model."""
    head = vi.Bernoulli()
    small_vae(likelihood=head)
    with pytest.raises(ConfigurationError, match="already has event shape"):
        small_vae(likelihood=head, data_shape=(7,))
