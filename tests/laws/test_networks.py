"""Networks: any size, any leading axes, a context, and data that do not depend on their batch."""

import copy
import itertools
from functools import partial

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F

import vi
from tests.laws.conftest import node
from vi.config.build import build
from vi.config.registry import options, resolve, target_of
from vi.networks.images import ImageDecoder, ImageEncoder

IMAGES = [(3, 13, 14), (1, 8, 8), (2, 5, 9), (1, 4, 4), (1, 7, 4)]
LEADING = [(), (5,), (2, 1, 3)]
IMAGE, VECTOR = (1, 9, 8), (4,)
CHANNELS = {"encoder": [4, 6], "decoder": [6, 4]}


def _recipe(group, option):
    """Return the network of a yaml, small and without kinks."""

    def make(**values):
        described = node(group, option)
        tiny = {"channels": CHANNELS[group], "hidden": [7]}
        tiny["activation"] = {"_target_": "torch.nn.Tanh"}
        tiny = {name: value for name, value in tiny.items() if name in described}
        return build(group, described | tiny | values)

    return make


def _affine():
    return vi.MLP([])


ENCODERS = {k: _recipe("encoder", k) for k in options("encoder")} | {"affine": _affine}
DECODERS = {k: _recipe("decoder", k) for k in options("decoder")} | {"affine": _affine}
ALL = [
    *(pytest.param(make, IMAGE, VECTOR, id=f"{k}_encoder") for k, make in ENCODERS.items()),
    *(pytest.param(make, VECTOR, IMAGE, id=f"{k}_decoder") for k, make in DECODERS.items()),
]
ON_IMAGES = [
    (group, option)
    for group in CHANNELS
    for option in options(group)
    if issubclass(resolve(target_of(group, option), group), ImageEncoder | ImageDecoder)
]
every_network = pytest.mark.parametrize(("make", "in_shape", "out_shape"), ALL)


def _check(network, in_shape, out_shape, context_dim):
    """Check shapes for all leading axes, and that each event alone gives its row of the block."""
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
    """Odd sizes work; a datum gives the same alone and in its batch: at most 1e-12.

    Caught: axes in another order before the reshape; halved sizes rounded down.
    """
    _check(ENCODERS[name](), shape, (10,), context_dim)


@pytest.mark.parametrize("context_dim", [0, 3])
@pytest.mark.parametrize("shape", IMAGES, ids=str)
@pytest.mark.parametrize("name", DECODERS)
def test_decoder(name, shape, context_dim):
    """The image has its exact size. Caught: a context rolled by one row."""
    _check(DECODERS[name](), VECTOR, shape, context_dim)


@pytest.mark.parametrize("make", [vi.MLP, vi.GatedMLP])
@pytest.mark.parametrize("in_shape", [(6,), (2, 3), ()])
@pytest.mark.parametrize("out_shape", [(4,), (2, 2)])
@pytest.mark.parametrize("context_dim", [0, 3])
def test_perceptrons_take_events_of_any_rank(make, in_shape, out_shape, context_dim):
    _check(make([5]), in_shape, out_shape, context_dim)


@pytest.mark.parametrize("context_dim", [0, 3])
@pytest.mark.parametrize("name", DECODERS)
def test_decoders_take_latents_of_any_rank(name, context_dim):
    """z may have any rank, such as categories (N, C).

    Caught: leading axes taken for the event's.
    """
    _check(DECODERS[name](), (2, 3), (1, 5, 4), context_dim)


@every_network
def test_context_is_heard_by_its_own_row_only(make, in_shape, out_shape):
    """One context (B, C) serves all K draws; changing row 1 changes row 1 of each and no other.

    Caught: a context times 0; a context rolled by one row.
    """
    module = make()(in_shape, out_shape, context_dim=2)
    x, context = torch.randn(3, 4, *in_shape), torch.randn(4, 2)
    other = context.clone()
    other[1] += 1
    difference = (module(x, context) - module(x, other)).abs().flatten(2).amax(-1)
    assert (difference[:, 1] > 1e-6).all()
    assert difference[:, [0, 2, 3]].max() == 0
    expanded = module(x, context.expand(3, 4, 2))
    assert (expanded - module(x, context)).abs().max() <= 1e-12


@every_network
def test_gradients(make, in_shape, out_shape):
    """First and second derivatives in the input are right, and every parameter has a gradient.

    Refinement of q steps through a decoder and needs the second ones.
    """
    module = make()(in_shape, out_shape)
    x = torch.randn(2, *in_shape, requires_grad=True)
    assert gradcheck(module, x, fast_mode=True)
    assert gradgradcheck(module, x, fast_mode=True)
    module(x).square().sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@every_network
def test_single_precision(make, in_shape, out_shape):
    """float32 agrees with float64: 1e-5 of the largest output."""
    single = make()(in_shape, out_shape).float()
    x = torch.randn(5, *in_shape, dtype=torch.float32)
    y, expected = single(x), copy.deepcopy(single).double()(x.double())
    assert (y - expected).abs().max() <= 1e-5 * expected.abs().max()


@every_network
@pytest.mark.parametrize("scale", [0, 1e-30, 1e30])
def test_extremes(make, in_shape, out_shape, scale):
    """An empty image, and entries of any size, give finite outputs."""
    x = scale * torch.randn(3, *in_shape)
    x.requires_grad_()
    y = make()(in_shape, out_shape)(x)
    assert y.isfinite().all()
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert gradient.isfinite().all()


@every_network
def test_each_call_makes_its_own_parameters(make, in_shape, out_shape):
    """One recipe builds encoder and decoder without sharing weights."""
    factory = make()
    one, two = factory(in_shape, out_shape), factory(in_shape, out_shape)
    assert not {id(p) for p in one.parameters()} & {id(p) for p in two.parameters()}


@pytest.mark.parametrize("shape", [(1, 3, 8), (1, 8, 3), (64,), (8, 8)], ids=str)
@pytest.mark.parametrize(("group", "option"), ON_IMAGES)
def test_what_is_no_image_or_too_small_is_refused(group, option, shape):
    """The error states the option and the numbers. Caught: the name of another option."""
    network = _recipe(group, option)()
    shapes = (shape, VECTOR) if group == "encoder" else (VECTOR, shape)
    with pytest.raises(vi.ConfigurationError) as refusal:
        network(*shapes)
    assert str(refusal.value) == (
        f"{group}={option} with 2 layers needs images (channels, height, width) of at least 4 x 4"
        f", got shape {shape}"
    )
    assert f"{group}=mlp takes any shape" in refusal.value.hint


@pytest.mark.parametrize(("group", "option"), ON_IMAGES)
@pytest.mark.parametrize(
    ("channels", "message"), [([], "at least one of {}.channels"), ([4, 0], "{}.channels must be")]
)
def test_layers_without_channels_are_refused(group, option, channels, message):
    network = _recipe(group, option)(channels=channels)
    with pytest.raises(vi.ConfigurationError, match=message.format(group)):
        network(IMAGE, IMAGE)


@pytest.mark.parametrize("make", [vi.MLP, vi.GatedMLP])
def test_layers_without_units_are_refused(make):
    with pytest.raises(vi.ConfigurationError, match="hidden must be greater than 0, got 0"):
        make([5, 0])


def test_depth_does_not_shrink_the_signal():
    """E[h^2] = E[x^2] after every hidden layer.

    Caught: torch's initialisation, 1e-4 after five layers.
    """
    torch.manual_seed(0)
    network = vi.MLP([1000] * 5)((1000,), (1,))
    last = network.layers[-1]
    seen = []
    last.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    network(torch.randn(200, 1000))
    assert 0.5 < seen[0].square().mean() < 2.0


@pytest.mark.parametrize("make", [vi.MLP, vi.GatedMLP])
def test_no_hidden_layers_is_an_affine_map(make):
    """f(a + b) - f(a) - f(b) + f(0) = 0: at most 1e-12."""
    f = make([])((6,), (4,))
    a, b = torch.randn(6), torch.randn(6)
    assert (f(a + b) - f(a) - f(b) + f(torch.zeros(6))).abs().max() <= 1e-12


def _gated(x):
    """Return h = a sigmoid(b) of the two halves of the channels."""
    a, b = x.chunk(2, 1)
    return a * b.sigmoid()


def test_gates_by_hand():
    """The three gated networks, product by product: at most 1e-12.

    Caught: the halves exchanged; an additional ReLU; a gate after the last layer.
    """
    x, image = torch.randn(5, 4), torch.randn(5, *IMAGE)
    modules = [
        vi.GatedMLP([7, 5])(VECTOR, (3,)),
        vi.GatedConvEncoder([4, 6])(IMAGE, VECTOR),
        vi.GatedConvDecoder([6, 4])(VECTOR, IMAGE),
    ]
    products = ([layer for layer in m.layers if hasattr(layer, "weight")] for m in modules)
    (one, two, three), (down, further, flat), (up, higher, highest) = products
    smallest = up(x).unflatten(1, (12, 3, 2))
    by_hand = [
        three(_gated(two(_gated(one(x))))),
        flat(_gated(further(_gated(down(image)))).flatten(1)),
        highest(F.interpolate(_gated(higher(F.interpolate(_gated(smallest), (5, 4)))), (9, 8))),
    ]
    for module, given, expected in zip(modules, (x, image, x), by_hand, strict=True):
        assert (module(given) - expected).abs().max() <= 1e-12


@pytest.mark.parametrize(("group", "option"), ON_IMAGES)
def test_sizes_are_halved_and_doubled(group, option):
    """Sizes change by one factor of 2 per layer. Caught: a decoder that jumps to the last size."""
    shapes = (IMAGE, VECTOR) if group == "encoder" else (VECTOR, IMAGE)
    module = _recipe(group, option)()(*shapes)
    sizes = []
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda _, __, y: sizes.append(tuple(y.shape[2:])))
    module(torch.randn(1, *shapes[0]))
    distinct = [size for size, _ in itertools.groupby(sizes)]
    assert distinct[-2:] == ([(5, 4), (3, 2)] if group == "encoder" else [(5, 4), (9, 8)])


@every_network
def test_only_the_affine_map_is_affine(make, in_shape, out_shape):
    """f(a + b) - f(a) - f(b) + f(0) is not 0. Caught: a layer without its gate or activation."""
    f = make()(in_shape, out_shape)
    a, b = 3 * torch.randn(2, 1, *in_shape)
    bend = (f(a + b) - f(a) - f(b) + f(torch.zeros_like(a))).abs().max()
    assert (bend > 1e-3) == (make is not _affine)


@pytest.mark.parametrize(
    ("residual", "plain", "shapes"),
    [
        (vi.ResidualEncoder, vi.ConvEncoder, (IMAGE, VECTOR)),
        (vi.ResidualDecoder, vi.ConvDecoder, (VECTOR, IMAGE)),
    ],
)
def test_blocks_that_add_nothing_leave_convolutions(residual, plain, shapes):
    """With the last product of each block 0, a network without normalisation is a plain one.

    Caught: a block that activates its input; one block instead of three.
    """
    factory = residual([4, 6], 3, nn.Tanh(), vi.NoNormalization())
    module, expected = factory(*shapes), plain([4, 6], nn.Tanh())(*shapes)
    blocks = [layer for layer in module.layers if hasattr(layer, "branch")]
    assert len(blocks) == 6
    for block in blocks:
        nn.init.zeros_(block.branch[-1].weight)
        nn.init.zeros_(block.branch[-1].bias)
    kept = [p for layer in module.layers if layer not in blocks for p in layer.parameters()]
    for ours, theirs in zip(kept, expected.parameters(), strict=True):
        theirs.data.copy_(ours)
    x = torch.randn(5, *shapes[0])
    assert (module(x) - expected(x)).abs().max() <= 1e-12


def test_a_block_by_hand():
    """x + conv(act(norm(conv(act(norm(x)))))): at most 1e-12. Caught: a branch that is linear."""
    block = vi.ResidualEncoder([6], 1, nn.Tanh())(IMAGE, VECTOR).layers[1]
    one, two = (layer for layer in block.branch if isinstance(layer, nn.Conv2d))
    norm = partial(F.group_norm, num_groups=1)
    x = torch.randn(2, 6, 5, 4)
    expected = x + two(norm(one(norm(x).tanh())).tanh())
    assert (block(x) - expected).abs().max() <= 1e-12


def test_groups_have_mean_0_and_variance_1():
    """Each image is normalised separately, also a single one.

    Caught: statistics over the batch.
    """
    x = 3 + 2 * torch.randn(1, 12, 5, 4)
    y = vi.GroupNormalization(4)(12)(x).unflatten(1, (3, 4)).flatten(2)
    assert y.mean(-1).abs().max() <= 1e-12
    assert (y.var(-1, correction=0) - 1).abs().max() <= 1e-4  # an epsilon is below the root


@pytest.mark.parametrize("group_size", [2, 3, 16])
def test_groups_are_as_small_as_is_allowed(group_size):
    """Groups are as small as allowed, and never a single channel, which one pixel would erase.

    Caught: gcd for the size.
    """
    for channels in range(2, 70):
        groups = vi.GroupNormalization(group_size)(channels).num_groups
        size, rest = divmod(channels, groups)
        assert rest == 0
        assert size >= min(group_size, channels)
        smaller = range(group_size, min(size, channels))
        assert not [s for s in smaller if channels % s == 0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: vi.GroupNormalization(1), "group_size must be greater than 1"),
        (lambda: vi.GroupNormalization()(1), "needs at least 2 channels, got 1"),
        (lambda: vi.ResidualEncoder([4], 0), "num_blocks must be greater than 0"),
        (lambda: vi.ResidualDecoder([4], activation=nn.ReLU(inplace=True)), "in-place"),
    ],
)
def test_what_cannot_be_right_is_refused(make, message):
    with pytest.raises(vi.ConfigurationError, match=message):
        make()


@pytest.mark.parametrize("likelihood", [vi.Bernoulli, vi.Gaussian])
@pytest.mark.parametrize("shape", [(1, 9, 7), (3, 8, 8)], ids=str)
@pytest.mark.parametrize("option", sorted(options("encoder").keys() & options("decoder").keys()))
def test_vae_of_every_head(small_vae, tmp_path, option, likelihood, shape):
    """Two images of parameters are stacked along the channels; a model saved by name is equal."""
    model = small_vae(
        data_shape=shape,
        encoder=ENCODERS[option](),
        decoder=DECODERS[option](),
        likelihood=likelihood(),
    )
    x = torch.rand(5, *shape).round()
    assert vi.IWAE(3)(model, x).value.shape == (5,)
    assert model.sample(4).shape == (4, *shape)
    again = vi.load(vi.save(model, tmp_path / "model"))
    assert (again.reconstruct(x) - model.reconstruct(x)).abs().max() <= 1e-12


@pytest.mark.parametrize("option", options("normalization"))
def test_every_normalization(option):
    """A datum gives the same alone and in its batch."""
    target = {"_target_": target_of("normalization", option)}
    for group, shapes in (("encoder", (IMAGE, VECTOR)), ("decoder", (VECTOR, IMAGE))):
        _check(_recipe(group, "residual")(normalization=target), *shapes, 0)
