"""KL per dimension and active units of a linear Gaussian model with one unused dimension."""

import pytest
import torch
from torch.distributions import MultivariateNormal

import vi
from tests.support.oracles import LinearGaussian, exact_diagonal
from vi.diagnostics.active_units import active_units
from vi.diagnostics.kl_per_dimension import kl_per_dimension

STRENGTHS = (2.0, 0.0, 0.5, 1.0)
"""Of the orthogonal columns of W; the second latent is dead."""


@pytest.fixture
def model() -> LinearGaussian:
    weight = torch.linalg.qr(torch.randn(8, 4))[0] * torch.tensor(STRENGTHS)
    return LinearGaussian(weight, torch.randn(8), 0.7, exact_diagonal, vi.StandardNormal(4)())


def test_dimensions_add_up_to_the_kl(model):
    """The dimensions add up to the KL: at most 1e-12.

    Caught: the sum over the batch for the mean.
    """
    x = model.sample(300)
    total = vi.ELBO()(model, x).terms["kl"].mean()
    assert (kl_per_dimension(model, x).sum() - total).abs() <= 1e-12


def test_each_dimension_is_its_own_kl(model):
    """Each is (v + m^2 - 1 - log v) / 2 of the true posterior, 0 if unused: at most 1e-12.

    Caught: dimensions in another order; KL(p || q).
    """
    x = model.sample(300)
    strength = torch.tensor(STRENGTHS)
    v = 0.49 / (0.49 + strength**2)
    m = v * ((x - model.loc) @ model.weight) / 0.49
    expected = ((v + m**2 - 1 - v.log()) / 2).mean(0)
    assert (kl_per_dimension(model, x) - expected).abs().max() <= 1e-12
    assert kl_per_dimension(model, x)[1].abs() <= 1e-12


def test_active_units_are_those_that_answer_to_the_data(model):
    """Active units are those with large Var_x(E[z_d|x]) = w^2 / (w^2 + s^2): 0.89, 0, 0.34, 0.67.

    2 000 data, seed 0. Caught: the variance over latents in place of data.
    """
    x = model.sample(2000)
    assert active_units(model, x) == 3
    assert [active_units(model, x, threshold=t) for t in (0.2, 0.5, 0.8, 0.99)] == [3, 2, 1, 0]


def test_a_full_covariance_is_refused():
    model = LinearGaussian.random()
    with pytest.raises(vi.ConfigurationError, match="MultivariateNormal does not factorise"):
        kl_per_dimension(model, model.sample(3))


def test_context_arrives(small_vae, data):
    model, context = small_vae(context_dim=3), torch.randn(50, 3)
    assert kl_per_dimension(model, data, context=context).shape == (2,)
    assert active_units(model, data, threshold=0.0, context=context) == 2


def test_the_oracle_has_a_full_prior():
    assert isinstance(LinearGaussian.random().prior(), MultivariateNormal)
