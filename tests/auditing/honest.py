"""Honest models, one for every option, with data of their own."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

import vi
from tests.support.parts import part
from vi.config.build import build
from vi.config.registry import options
from vi.data.base import LoadedData, Values
from vi.models.base import LatentVariableModel

Made = tuple[LatentVariableModel, LoadedData]
SHAPE = (6,)
SMALL = {
    "latent_dim": 2,
    "latent_dims": 2,
    "hidden": [5],
    "num_components": 2,
    "num_pseudo_inputs": 3,
    "num_categories": 3,
    "num_samples": 2,
    "width": 5,
    "restarts": 1,
}


def made(group: str, option: str, shape: tuple[int, ...] = SHAPE, **values: Any) -> Any:
    """The part of a yaml, in a small size."""
    node = _small(part(group, option)) | values
    return build(group, node, defaults={"data_shape": shape, "context_dim": 0})


def _small(node: dict[str, Any]) -> dict[str, Any]:
    node = {k: _small(v) if isinstance(v, dict) else v for k, v in node.items()}
    return node | {k: v for k, v in SMALL.items() if k in node}


def vae(**parts: Any) -> vi.VAE:
    """A VAE of bits, with these parts in place of the default ones."""
    latent_dim = parts.pop("latent_dim", 2)
    parts = {
        "data_shape": SHAPE,
        "encoder": vi.MLP([8], torch.nn.Tanh()),
        "decoder": vi.MLP([8], torch.nn.Tanh()),
        "posterior": vi.DiagonalGaussian(latent_dim),
        "prior": vi.StandardNormal(latent_dim),
        "likelihood": vi.Bernoulli(),
    } | parts
    if "inference" in parts:
        del parts["encoder"], parts["posterior"]
    model = vi.VAE(**parts)
    if "inference" in parts:
        return model
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data.mul_(2.0)
    return model


def with_data(model: LatentVariableModel, n: int = 200, **given: Tensor) -> Made:
    """The model with data that it generates: as many for training as for the test."""
    x = model.eval().sample(2 * n, **given)
    first, second = ({k: v[s] for k, v in given.items()} for s in (slice(n), slice(n, None)))
    splits = Values(x[:n], first), Values(x[n:], second)
    context = given["context"].shape[1] if "context" in given else 0
    return model, LoadedData(splits[0], None, splits[1], tuple(x.shape[1:]), context)


PRIOR_OF = {"categorical": "categorical", "gumbel_softmax": "categorical"}
PRIOR_OF |= {"bernoulli": "bernoulli", "relaxed_bernoulli": "bernoulli"}
PRIOR_OF |= {"von_mises_fisher": "uniform_sphere"}
POSTERIOR_OF = {"categorical": "categorical", "bernoulli": "bernoulli"}
POSTERIOR_OF |= {"uniform_sphere": "von_mises_fisher"}


def _of_posterior(option: str) -> Made:
    prior = made("prior", PRIOR_OF.get(option, "standard_normal"))
    return with_data(vae(posterior=made("posterior", option), prior=prior))


def _of_prior(option: str) -> Made:
    posterior = made("posterior", POSTERIOR_OF.get(option, "diagonal_gaussian"))
    model = vae(posterior=posterior, prior=made("prior", option))
    model.prior_module.initialize(torch.randint(0, 2, (50, *SHAPE)).float())
    return with_data(model)


def _of_likelihood(option: str) -> Made:
    shape = (3, 2, 2) if option == "discretised_logistic_mixture" else SHAPE
    likelihood = made("likelihood", option, shape)
    return with_data(vae(data_shape=shape, likelihood=likelihood))


def _of_flow(option: str) -> Made:
    flow = vi.FlowPosterior(3, flow=made("flow", option))
    prior = vi.FlowPrior(3, flow=made("flow", option))
    return with_data(vae(posterior=flow, prior=prior, latent_dim=3))


def _of_model(option: str) -> Made:
    x = torch.randint(0, 2, (300, 6)).double()
    if option in ("gmm", "kmeans", "ppca", "factor_analysis"):
        x = torch.randn(300, 2, dtype=torch.double) @ torch.randn(2, 6, dtype=torch.double)
        x = x + 0.3 * torch.randn(300, 6, dtype=torch.double)
    more = {"covariance": vi.Full()} if option == "gmm" else {}
    node = _small(part("model", option))
    model = build("model", node, defaults={"data_shape": SHAPE} | more)
    model.initialize(x)
    return model.eval(), LoadedData(Values(x[:200]), None, Values(x[200:]), (6,))


EXACT = ("bernoulli_mixture", "factor_analysis", "gmm", "kmeans", "poisson_mixture", "ppca")


def _of_network(encoder: str, decoder: str) -> Made:
    torch.manual_seed(0)
    networks = made("encoder", encoder), made("decoder", decoder)
    return with_data(vae(data_shape=(1, 8, 8), encoder=networks[0], decoder=networks[1]), 40)


def _ladder() -> Made:
    network = vi.MLP([8], torch.nn.Tanh())
    return with_data(vi.Ladder((6,), network, network, vi.Bernoulli(), [2, 2], width=8))


def _conditional() -> Made:
    context = torch.eye(3)[torch.arange(400) % 3]
    return with_data(vae(context_dim=3), context=context)


def _missing() -> Made:
    model, data = with_data(vae(likelihood=vi.Gaussian()))
    splits = [s.with_observed(torch.rand(s.stored.shape) > 0.3) for s in (data.train, data.test)]
    return model, LoadedData(splits[0], None, splits[1], data.shape)


def _standardised() -> Made:
    model = vae(likelihood=vi.SharedScaleGaussian(), standardize=True)
    x = torch.randn(400, 6) * torch.tensor([1.0, 50, 1, 0.01, 1, 3]) + 7
    model.initialize(x)
    return model.eval(), LoadedData(Values(x[:200]), None, Values(x[200:]), (6,))


def _inference(option: str) -> Made:
    parts = {"encoder": vi.MLP([8]), "posterior": vi.DiagonalGaussian(2)}
    inferences = {
        "iterative": lambda: vi.Iterative(**parts),
        "refined": lambda: vi.Refined(vi.Amortized(**parts), vi.AdamAscent()),
        "ensemble": lambda: vi.Ensemble(**parts, num_encoders=2),
    }
    return with_data(vae(inference=inferences[option]()), 40)


def _deep(latent_dim: int, posterior: str) -> Made:
    q = made("posterior", posterior, latent_dim=latent_dim)
    return with_data(vae(posterior=q, prior=vi.StandardNormal(latent_dim), data_shape=(40,)))


def _plane(d: int) -> Made:
    return with_data(vae(data_shape=(d,), likelihood=vi.SharedScaleGaussian(scale=0.4)))


def _all() -> Iterator[tuple[str, Callable[[], Made]]]:
    for group, of in {
        "posterior": _of_posterior,
        "prior": _of_prior,
        "likelihood": _of_likelihood,
        "flow": _of_flow,
    }.items():
        for option, path in options(group).items():
            text = path.read_text()
            if "???" not in text and "an older name" not in text:
                yield f"{group}={option}", lambda of=of, option=option: of(option)
    for option in EXACT:
        yield f"model={option}", lambda option=option: _of_model(option)
    for pair in [("conv", "conv"), ("gated_conv", "residual"), ("gated_mlp", "gated_mlp")]:
        yield f"networks={pair}", lambda pair=pair: _of_network(*pair)
    for option in ("iterative", "refined", "ensemble"):
        yield f"inference={option}", lambda option=option: _inference(option)
    for posterior in ("full_gaussian", "low_rank_gaussian", "diagonal_laplace"):
        yield f"{posterior} of 20", lambda posterior=posterior: _deep(20, posterior)
    yield "ladder", _ladder
    yield "conditional", _conditional
    yield "missing", _missing
    yield "standardised", _standardised
    yield "one dimension", lambda: _plane(1)
    yield "two dimensions", lambda: _plane(2)


HONEST = dict(_all())
