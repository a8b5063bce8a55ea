"""Networks: any size, any leading axes, a context that is heard."""

import itertools

import pytest
import torch
from torch import nn

import vi

IMAGES = [(1, 28, 28), (3, 29, 27), (1, 8, 8), (2, 5, 9), (1, 4, 4), (3, 32, 31), (1, 7, 4)]
LEADING = [(), (5,), (2, 3), (2, 1, 3)]

ENCODERS = {
    "mlp": vi.MLP([7], nn.Tanh()),
    "affine": vi.MLP([]),
    "conv": vi.ConvEncoder([4, 5], nn.Tanh()),
}
DECODERS = {
    "mlp": vi.MLP([7], nn.Tanh()),
    "affine": vi.MLP([]),
    "conv": vi.ConvDecoder([5, 4], nn.Tanh()),
}


def _check(network, in_shape, out_shape, context_dim):
    """Shapes for all leading axes, and each event alone gives what it gives in the block."""
    given = {"context_dim": context_dim} if context_dim else {}
    module = network(in_shape, out_shape, **given)
    for leading in LEADING:
        x = torch.randn((*leading, *in_shape))
        context = [torch.randn((*leading, context_dim))] if context_dim else []
        y = module(x, *context)
        assert y.shape == (*leading, *out_shape)
        for at in itertools.product(*map(range, leading)):
            alone = module(x[at], *[c[at] for c in context])
            assert (alone - y[at]).abs().max() <= 1e-12


@pytest.mark.parametrize("context_dim", [0, 3])
@pytest.mark.parametrize("shape", IMAGES, ids=str)
@pytest.mark.parametrize("name", ENCODERS)
def test_encoder(name, shape, context_dim):
    """Odd sizes too; equal to the loop over the leading axes: at most 1e-12.

    Caught: axes in another order before the reshape, sizes of the halvings rounded down.
    """
    _check(ENCODERS[name], shape, (10,), context_dim)


@pytest.mark.parametrize("context_dim", [0, 3])
@pytest.mark.parametrize("shape", IMAGES, ids=str)
@pytest.mark.parametrize("name", DECODERS)
def test_decoder(name, shape, context_dim):
    """The image comes out in its exact size. Caught: a context rolled by one row."""
    _check(DECODERS[name], (4,), shape, context_dim)


@pytest.mark.parametrize("in_shape", [(6,), (2, 3), ()])
@pytest.mark.parametrize("out_shape", [(4,), (2, 2)])
@pytest.mark.parametrize("context_dim", [0, 3])
def test_mlp_takes_events_of_any_rank(in_shape, out_shape, context_dim):
    _check(vi.MLP([5]), in_shape, out_shape, context_dim)


@pytest.mark.parametrize(
    ("network", "in_shape", "out_shape"),
    [
        (ENCODERS["mlp"], (1, 9, 8), (4,)),
        (ENCODERS["conv"], (1, 9, 8), (4,)),
        (DECODERS["mlp"], (4,), (1, 9, 8)),
        (DECODERS["conv"], (4,), (1, 9, 8)),
    ],
)
def test_context_is_heard_by_its_own_row_only(network, in_shape, out_shape):
    """One context (B, C) serves all K draws; changing row 1 changes row 1 of each and no other.

    Caught: a context times 0, a context rolled by one row.
    """
    module = network(in_shape, out_shape, context_dim=2)
    x, context = torch.randn(3, 4, *in_shape), torch.randn(4, 2)
    other = context.clone()
    other[1] += 1
    difference = (module(x, context) - module(x, other)).abs().flatten(2).amax(-1)
    assert (difference[:, 1] > 1e-6).all()
    assert difference[:, [0, 2, 3]].max() == 0
    expanded = module(x, context.expand(3, 4, 2))
    assert (expanded - module(x, context)).abs().max() <= 1e-12


@pytest.mark.parametrize("shape", [(1, 3, 8), (1, 8, 3), (64,), (8, 8)], ids=str)
def test_conv_refuses_what_is_no_image_or_too_small(shape):
    with pytest.raises(vi.ConfigurationError, match="encoder=conv with 2 layers needs images"):
        vi.ConvEncoder([4, 5])(shape, (10,))
    with pytest.raises(vi.ConfigurationError, match="decoder=conv with 2 layers") as refusal:
        vi.ConvDecoder([5, 4])((10,), shape)
    assert "decoder=mlp takes any shape" in refusal.value.hint


def test_each_call_makes_its_own_parameters():
    """One factory serves encoder and decoder without sharing weights."""
    factory = vi.MLP([5])
    one, two = factory((3,), (3,)), factory((3,), (3,))
    assert not {id(p) for p in one.parameters()} & {id(p) for p in two.parameters()}


def test_no_hidden_layers_is_an_affine_map():
    """f(a + b) - f(a) - f(b) + f(0) = 0: at most 1e-12."""
    f = vi.MLP([])((6,), (4,))
    a, b = torch.randn(6), torch.randn(6)
    assert (f(a + b) - f(a) - f(b) + f(torch.zeros(6))).abs().max() <= 1e-12


@pytest.mark.parametrize("likelihood", [vi.Bernoulli, vi.Gaussian])
@pytest.mark.parametrize("shape", [(1, 9, 7), (3, 8, 8)], ids=str)
def test_conv_vae_of_every_head(small_vae, data, likelihood, shape):
    """Two images of parameters are stacked along the channels, and the sizes fit."""
    model = small_vae(
        data_shape=shape,
        encoder=vi.ConvEncoder([4, 5]),
        decoder=vi.ConvDecoder([5, 4]),
        likelihood=likelihood(),
    )
    x = torch.rand(5, *shape).round()
    assert vi.IWAE(3)(model, x).value.shape == (5,)
    assert model.sample(4).shape == (4, *shape)
