"""Files of PPCA and factor analysis, and what they refuse."""

from functools import partial

import pytest
import torch

import vi
from tests.support.inference import amortized
from tests.support.linear_gaussian import GAUSSIANS, MODELS, D, N, Z, at_random


@pytest.fixture(params=MODELS.values(), ids=MODELS)
def make_model(request):
    """Makes a model of either kind with parameters at random."""
    return partial(at_random, request.param)


@pytest.fixture(params=GAUSSIANS.values(), ids=GAUSSIANS)
def make_gaussian(request):
    """Makes a posterior of the family that holds the exact one, or of a part of it."""
    return request.param


@pytest.mark.parametrize("encoder", [False, True])
def test_saved_and_loaded(make_model, make_gaussian, tmp_path, encoder):
    """The same bits, evidence and q, but for rounding; the floor and the origin travel along."""
    model, x = make_model(), torch.randn(N, D)
    model.initialize(x)
    model = amortized(model, vi.MLP([5]), make_gaussian(Z)) if encoder else model
    again = vi.load(vi.save(model, tmp_path))
    assert type(again) is type(model)
    close = partial(torch.testing.assert_close, rtol=1e-12, atol=1e-12)
    close(again.log_evidence(x), model.log_evidence(x))
    close(again.posterior(x).mean, model.posterior(x).mean)
    assert all(torch.equal(again.state_dict()[k], v) for k, v in model.state_dict().items())


def test_loading_keeps_the_precision_of_encoder_and_model(make_model, tmp_path):
    """An encoder in single, the model within in double: both as they were, bit for bit."""
    torch.set_default_dtype(torch.float32)
    model = amortized(make_model(), vi.MLP([5]), vi.FullGaussian(Z))
    again = vi.load(vi.save(model, tmp_path)).state_dict()
    assert {k: v.dtype for k, v in again.items()} == {
        k: v.dtype for k, v in model.state_dict().items()
    }


def test_an_option_gets_the_shape_of_the_data_wherever_it_stands(make_model):
    """Encoder and posterior come from their groups, by way of the inference."""
    from vi.cli.composing.compose import composed
    from vi.config.build import build
    from vi.config.run import Run

    options = ["model=ppca", "inference=amortized", "posterior=full_gaussian"]
    options += ["latent_dim=3", "hidden=[5]"]
    plain = composed("train", options, Run)
    model = build("model", plain["model"], defaults={**plain, "data_shape": (1, 4, 4)})
    assert (type(model), model.data_shape) == (vi.PPCA, (16,))
    assert model.gap(torch.randn(2, 16)).shape == (2,)
    name = {vi.PPCA: "ppca", vi.FactorAnalysis: "factor_analysis"}[type(make_model())]
    plain = composed("train", [f"model={name}"], Run)
    exact = build("model", plain["model"], defaults={**plain, "data_shape": (1, 4, 4)})
    assert (type(exact), exact.data_shape) == (type(make_model()), (16,))


@pytest.mark.parametrize("latent_dim", [4, 5])
def test_refuses_as_many_factors_as_entries(make_model, latent_dim):
    with pytest.raises(vi.ConfigurationError, match=f"less than the 4 .* got {latent_dim}") as no:
        make_model(4, latent_dim)
    assert "latent_dim=3" in no.value.hint


def test_refuses_no_factors_and_no_floor():
    with pytest.raises(vi.ConfigurationError, match="latent_dim must be greater than 0"):
        vi.PPCA((4,), 0)
    with pytest.raises(vi.ConfigurationError, match="floor must be greater than 0"):
        vi.FactorAnalysis((4,), 2, floor=0.0)


def test_refuses_a_posterior_of_another_size(make_model):
    with pytest.raises(vi.ConfigurationError, match=r"latent shape \(2,\), prior has \(3,\)"):
        amortized(make_model(), vi.MLP([5]), vi.DiagonalGaussian(2))


def test_refuses_a_posterior_on_another_support(make_model):
    class Bits(vi.DiagonalGaussian):
        support = torch.distributions.constraints.boolean

    with pytest.raises(vi.ConfigurationError, match="lives on Boolean, prior Independent on Real"):
        amortized(make_model(), vi.MLP([5]), Bits(Z))
