"""The parts under the laws, in one place; each is made anew for every test, in float64."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import vi
from vi.data.base import Batch

# {id: recipe}; a recipe is called within the test, so that its tensors have the test's dtype.
LOG_WEIGHT_BOUNDS: dict[str, Callable[..., vi.Bound]] = {
    "elbo_log_weight": vi.LogWeightELBO,
    "iwae": vi.IWAE,
}
ELBO_FORMS: dict[str, Callable[..., vi.Bound]] = {
    "elbo": vi.ELBO,
    "elbo_entropy": vi.EntropyELBO,
    "elbo_log_weight": vi.LogWeightELBO,
}
BOUNDS: dict[str, Callable[..., vi.Bound]] = {
    **ELBO_FORMS,
    **LOG_WEIGHT_BOUNDS,
    "beta": lambda num_samples: vi.Beta(vi.ELBO(num_samples), beta=4.0),
}
POSTERIORS = {"diagonal_gaussian": vi.DiagonalGaussian}
PRIORS = {"standard_normal": vi.StandardNormal}
LIKELIHOODS = {
    "bernoulli": vi.Bernoulli,
    "gaussian": vi.Gaussian,
    "gaussian_fixed_scale": lambda: vi.FixedScaleGaussian(scale=0.7),
    "gaussian_shared_scale": lambda: vi.SharedScaleGaussian(scale=0.7),
}
CONTINUOUS_LIKELIHOODS = {k: v for k, v in LIKELIHOODS.items() if k != "bernoulli"}


def _fixture(name: str, recipes: dict) -> Callable:
    @pytest.fixture(name=name, params=list(recipes.values()), ids=list(recipes))
    def recipe(request):
        return request.param

    return recipe


make_bound = _fixture("make_bound", BOUNDS)
make_elbo = _fixture("make_elbo", ELBO_FORMS)
make_log_weight_bound = _fixture("make_log_weight_bound", LOG_WEIGHT_BOUNDS)
make_posterior = _fixture("make_posterior", POSTERIORS)
make_prior = _fixture("make_prior", PRIORS)
make_likelihood = _fixture("make_likelihood", LIKELIHOODS)
make_continuous_likelihood = _fixture("make_continuous_likelihood", CONTINUOUS_LIKELIHOODS)


@pytest.fixture(autouse=True)
def _double(float64):
    """Laws run in double precision."""


@pytest.fixture
def small_vae():
    """Makes a VAE on 6-dimensional data: small_vae(**what differs)."""

    def make(**parts) -> vi.VAE:
        latent_dim = parts.pop("latent_dim", 2)
        defaults = {
            "data_shape": (6,),
            "encoder": vi.MLP([5], torch.nn.Tanh()),
            "decoder": vi.MLP([5], torch.nn.Tanh()),
            "posterior": vi.DiagonalGaussian(latent_dim),
            "prior": vi.StandardNormal(latent_dim),
            "likelihood": vi.SharedScaleGaussian(scale=0.7),
        }
        return vi.VAE(**(defaults | parts))

    return make


@pytest.fixture
def batch() -> Callable[..., Batch]:
    """Makes what a scheme sees."""
    return lambda x, **given: Batch(x, given)


@pytest.fixture
def data() -> Tensor:
    """50 data of 6 dimensions."""
    return torch.randn(50, 6)
