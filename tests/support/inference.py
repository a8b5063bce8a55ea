"""Models with a q(z|x) of one's choice, and what is asked of it."""

from functools import partial

import torch

import vi
from tests.laws.conftest import node
from tests.support.parts import part
from vi.config.build import build
from vi.config.registry import options
from vi.inference.given import with_q
from vi.inference.objective import objective

D, Z = 6, 2
NETWORK = partial(vi.MLP, [5], torch.nn.Tanh())
KINDS = list(options("inference"))


def inference(kind, posterior=None):
    """Of the yaml, with small networks and few steps."""
    made = part("inference", kind)
    network = {"_target_": "vi.networks.mlp.MLP", "hidden": [5]}
    network["activation"] = {"_target_": "torch.nn.Tanh"}
    defaults = {"encoder": network, "posterior": node("posterior", "diagonal_gaussian", Z)}
    defaults["refinement"] = {"_target_": "vi.refinement.adam_ascent.AdamAscent", "num_steps": 2}
    return build("inference", made, defaults=defaults)


def exact():
    """PPCA at random."""
    model = vi.PPCA((D,), Z)
    with torch.no_grad():
        model.weight.normal_()
        model.log_scale.fill_(-0.3)
    return model


def model_with(kind):
    """A model that infers in this way: one that can."""
    torch.manual_seed(0)
    if kind == "ladder":
        parts = NETWORK(), NETWORK(), vi.SharedScaleGaussian()
        return vi.Ladder((D,), *parts, latent_dims=[1, 1], width=4)
    if kind == "exact":
        return exact()
    likelihood, prior = vi.SharedScaleGaussian(scale=0.7), vi.StandardNormal(Z)
    parts = {"decoder": NETWORK(), "prior": prior, "likelihood": likelihood}
    return vi.VAE((D,), **parts, inference=inference(kind))


def amortized(exact, encoder, posterior):
    """The exact model, which infers with an encoder from now on."""
    exact.infer_with(vi.Amortized(encoder, posterior))
    return exact


def said(model, x, **given):
    """lambda(x)."""
    return model.inference.parameters_of(model, x, **given)


def at_lambda(model, parameters):
    """The model with the q of these variational parameters."""
    return with_q(model, q_at(model, parameters))


def q_at(model, parameters):
    """The q of these variational parameters."""
    return model.inference.at(model, parameters)


def climbing(model, bound, x):
    """lambda -> the surrogate of a bound for each datum."""
    return lambda parameters: bound(at_lambda(model, parameters), x).surrogate


def climbing_elbo(model, x):
    """The same of what every refinement climbs."""
    return objective(model.inference.family, model, x, {})
