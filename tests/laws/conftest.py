"""The parts that the laws test, made anew for every test, in float64."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, constraints

import vi
from tests.support.parts import part
from vi.config.build import build
from vi.config.registry import options
from vi.data.base import Batch
from vi.distributions.prior import Prior

DATA_SHAPE = (6,)


def node(group: str, option: str, size: int | None = None) -> dict[str, Any]:
    """Return the configuration of this option, with the given number of samples or latents."""
    return _with_size(part(group, option), size)


def _recipe(group: str, option: str) -> Callable[..., Any]:
    """Return a function that makes the part of a yaml, of the given size and values."""

    def make(size: int | None = None, *, num_samples: int | None = None, **values: Any) -> Any:
        described = {**node(group, option, size or num_samples), **values}
        return build(group, described, defaults={"data_shape": DATA_SHAPE, "context_dim": 0})

    return make


def _with_size(node: dict[str, Any], size: int | None) -> dict[str, Any]:
    """Return the node with so many samples or latents and small networks at every level."""
    if size is None:
        return node
    node = {k: _with_size(v, size) if isinstance(v, dict) else v for k, v in node.items()}
    sizes = dict.fromkeys(("num_samples", "latent_dim", "latent_dims", "num_categories"), size)
    return node | {k: v for k, v in ({"hidden": [5]} | sizes).items() if k in node}


def _globbed(group: str) -> dict[str, Callable[..., Any]]:
    """Return a recipe for each option of a group that needs no arguments.

    The other options have laws of their own.
    """
    files = options(group).items()
    return {option: _recipe(group, option) for option, f in files if "???" not in f.read_text()}


# {id: recipe}; a recipe is called within the test, so that its tensors have the test's dtype. The
# laws of a group apply to every yaml in it; attributes such as ``is_elbo`` select further laws.
BOUNDS = _globbed("bound")
LOG_WEIGHT_BOUNDS = {k: v for k, v in BOUNDS.items() if v().is_mean_of_weights}
ELBO_FORMS = {k: v for k, v in BOUNDS.items() if v().is_elbo}
POSTERIORS = _globbed("posterior")
PRIORS = _globbed("prior")
LIKELIHOODS = _globbed("likelihood")
REAL_LIKELIHOODS = {k: v for k, v in LIKELIHOODS.items() if v().support is constraints.real}


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
make_real_likelihood = _fixture("make_real_likelihood", REAL_LIKELIHOODS)


def distribution_of(prior: Prior, dtype: torch.dtype | None = None) -> Distribution:
    """Return p(z); a prior made of posteriors gets some q(z|x)."""
    weight = torch.linspace(-1, 1, 12, dtype=dtype).reshape(6, 2)
    (dim,) = prior.event_shape

    def posterior(x: Tensor, **given: Tensor) -> Distribution:
        loc, log_scale = (x @ weight[:, i : i + 1].expand(-1, dim) for i in (0, 1))
        return Independent(Normal(loc, (0.3 * log_scale).exp()), 1)

    return prior(posterior)


@pytest.fixture(autouse=True)
def _double(float64):
    """Run laws in double precision."""


@pytest.fixture
def small_vae():
    """Make a VAE on 6-dimensional data: small_vae(**parts that differ)."""

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
    """Make a batch for a scheme."""
    return lambda x, **given: Batch(x, given)


@pytest.fixture
def data() -> Tensor:
    """50 data of 6 dimensions."""
    return torch.randn(50, 6)
