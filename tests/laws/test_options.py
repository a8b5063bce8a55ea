"""Configurable: a part remembers what it was made of."""

import copy

import pytest
import torch
from torch import nn

import vi
from vi.options import Configurable

PARTS = {
    "mlp": (lambda: vi.MLP([3, 4]), {"hidden": [3, 4], "activation": None}),
    "conv": (lambda: vi.ConvEncoder(channels=[3]), {"channels": [3], "activation": None}),
    "diagonal_gaussian": (lambda: vi.DiagonalGaussian(3), {"latent_dim": 3}),
    "standard_normal": (lambda: vi.StandardNormal(latent_dim=3), {"latent_dim": 3}),
    "bernoulli": (lambda: vi.Bernoulli(), {}),
    "gaussian_fixed_scale": (lambda: vi.FixedScaleGaussian(0.5), {"scale": 0.5}),
    "gaussian_shared_scale": (lambda: vi.SharedScaleGaussian(), {"scale": 1.0, "floor": 1e-3}),
    "gaussian": (lambda: vi.Gaussian(), {"floor": 1e-2}),
    "elbo": (lambda: vi.ELBO(), {"num_samples": 1}),
    "iwae": (lambda: vi.IWAE(5), {"num_samples": 5}),
}


@pytest.mark.parametrize("name", PARTS)
def test_arguments_are_what_was_written_with_defaults(name):
    make, expected = PARTS[name]
    assert make().arguments == expected


@pytest.mark.parametrize("name", PARTS)
def test_arguments_make_the_same_part_again(name):
    make, _ = PARTS[name]
    part = make()
    again = type(part)(**part.arguments)
    assert again.arguments == part.arguments
    if isinstance(part, nn.Module):
        shapes = lambda m: {k: v.shape for k, v in m.state_dict().items()}
        assert shapes(again) == shapes(part)


def test_a_model_can_be_rebuilt_from_its_arguments(small_vae, data):
    """Same shapes of parameters, and after loading the state the same numbers."""
    model = small_vae(context_dim=2, standardize=True)
    again = vi.VAE(**copy.deepcopy(model.arguments))
    again.load_state_dict(model.state_dict())
    context = torch.randn(50, 2)
    one, other = (m.posterior(data, context=context).mean for m in (model, again))
    assert torch.equal(one, other)


def test_remembering_registers_nothing_twice(small_vae):
    """Parts in ``arguments`` do not appear among the modules or in the state.

    Caught: the arguments set as attributes of the module, one by one.
    """
    model = small_vae()
    assert not [k for k in model.state_dict() if "arguments" in k]
    names = [name for name, _ in model.named_children()]
    assert names == ["inference", "decoder", "prior_module", "likelihood_head"]


def test_the_outermost_class_knows_what_was_written():
    """Caught: the arguments of the base class in place of those of the class."""

    class Base(Configurable):
        def __init__(self, size: int, name: str = "base") -> None:
            self.size, self.name = size, name

    class Double(Base):
        def __init__(self, half: int) -> None:
            super().__init__(2 * half, name="double")

    class Plain(Double):
        pass

    assert Double(3).arguments == {"half": 3}
    assert Plain(4).arguments == {"half": 4}
    assert (Plain(4).size, Base(1).arguments) == (8, {"size": 1, "name": "base"})


def test_wrapping_bounds_remember_their_part():
    inner = vi.IWAE(3)
    bound = vi.Beta(inner, beta=2.0)
    assert bound.arguments == {"bound": inner, "beta": 2.0, "warmup_steps": 0, "start": 0.0}
    assert [name for name, _ in bound.named_children()] == ["bound"]


def test_wrong_arguments_fail_as_they_always_did():
    with pytest.raises(TypeError, match="unexpected keyword argument 'samples'"):
        vi.ELBO(samples=3)
    with pytest.raises(TypeError, match="missing a required argument: 'latent_dim'"):
        vi.DiagonalGaussian()
