"""Modules of one's own as encoder and decoder."""

import copy
import gc
import json
import re
import sys
import warnings
from importlib import import_module

import pytest
import torch
from torch import nn

import vi
from tests.support import runs
from tests.support.inference import amortized
from tests.support.tiny import D
from vi.config.build import build
from vi.errors import ConfigurationError
from vi.networks.own import OwnNetwork

Z, P = 2, 4  # of z, and of its posterior's parameters


@pytest.fixture(autouse=True)
def _single():
    """As a user has it."""
    torch.set_default_dtype(torch.float32)


def _vae(encoder, decoder, **parts):
    defaults = {
        "data_shape": (D,),
        "posterior": vi.DiagonalGaussian(Z),
        "prior": vi.StandardNormal(Z),
        "likelihood": vi.Bernoulli(),
    }
    return vi.VAE(encoder=encoder, decoder=decoder, **(defaults | parts))


class Pictures(nn.Module):
    """Convolutions, which know one batch axis and no other."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(Z, 16), nn.Unflatten(1, (4, 2, 2)))
        self.up = nn.ConvTranspose2d(4, 1, 2, 2)

    def forward(self, z):
        assert z.ndim == 2
        return self.up(self.layers(z))


def test_leading_axes_are_one_batch_axis_to_it():
    """Each row as the module itself has it. Caught: a decoder called with (K, B, Z)."""
    decoder, z = Pictures().double(), torch.randn(3, 5, Z, dtype=torch.float64)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(16, P))
    model = _vae(encoder, decoder.float(), data_shape=(1, 4, 4))
    p = model.likelihood(z.float())
    assert p.batch_shape == (3, 5)
    rows = torch.stack([decoder(row) for row in z.float()]).sigmoid()
    assert (p.mean - rows).abs().max() <= 1e-6
    x = torch.randint(0, 2, (5, 1, 4, 4))
    assert vi.LogWeightELBO(3)(model, x).value.shape == (5,)
    assert model.sample(7).shape == (7, 1, 4, 4)


CONVOLUTIONS = {
    "flat for images": (nn.Linear(Z, 16), (1, 4, 4)),
    "images for vectors": (Pictures(), (16,)),
    "without the axis of one": (
        nn.Sequential(nn.Linear(Z, 16), nn.Unflatten(1, (4, 4))),
        (1, 4, 4),
    ),
}


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_as_many_numbers_in_the_same_order_will_do(kind):
    decoder, shape = CONVOLUTIONS[kind]
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(16, P))
    model = _vae(encoder, copy.deepcopy(decoder), data_shape=shape)
    assert model.sample(3).shape == (3, *shape)


WRONG = {
    "encoder of another size": (
        nn.Linear(D, 3),
        nn.Linear(Z, D),
        r"the encoder gives \(B, 3\), DiagonalGaussian\(2\) needs \(B, 4\)",
        "4 numbers",
    ),
    "decoder of another size": (
        nn.Linear(D, P),
        nn.Linear(Z, 7),
        r"the decoder gives \(B, 7\), Bernoulli\(\) needs \(B, 6\)",
        "6 numbers",
    ),
    "encoder of another input": (
        nn.Linear(5, P),
        nn.Linear(Z, D),
        r"the encoder cannot read \(B, 6\): RuntimeError: .*mat1 and mat2",
        r"one tensor \(B, 6\)",
    ),
    "two tensors": (
        nn.LSTM(D, P),
        nn.Linear(Z, D),
        r"the encoder gives a tuple, DiagonalGaussian\(2\) needs \(B, 4\) in one tensor",
        "torch.cat",
    ),
    "rows that mix": (
        nn.Sequential(nn.Linear(D, P), nn.Unflatten(1, (2, 2)), nn.Flatten(0, 1)),
        nn.Linear(Z, D),
        r"the encoder gives \(6, 2\) for 3 data",
        "4 numbers",
    ),
    "function that fails": (
        lambda in_shape, out_shape: nn.Linear(in_shape, out_shape),
        nn.Linear(Z, D),
        "what should make the encoder fails: TypeError",
        r"\(\(6,\), \(4,\)\): the shapes",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_sizes_are_tried_when_the_model_is_made(kind):
    """What came out and what is needed. Caught: an error of torch in the first step."""
    encoder, decoder, message, hint = WRONG[kind]
    with pytest.raises(ConfigurationError, match=message) as refused:
        _vae(encoder, decoder)
    assert re.search(hint, refused.value.hint)
    assert "\n" not in f"{refused.value}{refused.value.hint}"


def test_the_trial_changes_nothing():
    """Modes, running statistics, random numbers, precision. Caught: a trial in training mode."""
    norm = nn.BatchNorm1d(8).eval()  # frozen by hand
    encoder = nn.Sequential(nn.Linear(D, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, P))
    decoder = nn.Sequential(nn.Linear(Z, 8), norm, nn.Linear(8, D)).double()
    norm.eval()
    before = copy.deepcopy((encoder.state_dict(), decoder.state_dict()))
    noise = torch.get_rng_state()
    _vae(encoder, decoder)
    assert torch.equal(torch.get_rng_state(), noise)
    for module, state in zip((encoder, decoder), before, strict=True):
        assert all(torch.equal(v, state[k]) for k, v in module.state_dict().items())
    assert all(part.training for part in encoder.modules())
    assert [part.training for part in decoder.modules()] == [True, True, False, True]
    assert decoder[0].weight.dtype == torch.float64


def test_lazy_layers_are_made_with_draws_of_their_own():
    """Caught: encoder and decoder with the same first weights."""
    model = _vae(nn.LazyLinear(P), lambda n_in, n_out: nn.LazyLinear(n_out[0]))
    weights = [model.encoder.module.weight, model.decoder.module.weight]
    assert not torch.equal(*(w.flatten()[:4] for w in weights))


def test_one_module_in_two_models_is_refused():
    """And free again when that model has gone. Caught: two models that train each other."""
    encoder, decoder = nn.Linear(D, P), nn.Linear(Z, D)
    with pytest.raises(ConfigurationError, match="Bernoulli"):
        _vae(encoder, nn.Linear(Z, 7))  # no model was made, so that nothing is taken
    model = _vae(encoder, decoder)
    with pytest.raises(ConfigurationError, match="one Linear stands in another model") as refused:
        _vae(encoder, copy.deepcopy(decoder))
    assert "deepcopy" in refused.value.hint
    _vae(copy.deepcopy(encoder), copy.deepcopy(decoder))
    del model, refused
    gc.collect()
    _vae(encoder, decoder)


def test_one_module_in_two_places_is_refused():
    square = nn.Linear(2, 2)
    parts = vi.BernoulliPosterior(2), vi.BernoulliPrior(2), vi.Poisson()
    with pytest.raises(ConfigurationError, match="stands twice in this model"):
        vi.VAE((2,), square, square, *parts)
    one = nn.Linear(D, P)
    ensemble = vi.Ensemble(lambda n_in, n_out: one, vi.DiagonalGaussian(Z), 2)
    with pytest.raises(ConfigurationError, match="stands twice in this model"):
        _vae(None, nn.Linear(Z, D), posterior=None, inference=ensemble)


def test_a_copy_of_a_model_has_modules_of_its_own():
    model = _vae(nn.Linear(D, P), nn.Linear(Z, D))
    assert copy.deepcopy(model).encoder.module is not model.encoder.module
    parameters = [id(p) for p in model.parameters()]
    assert len(parameters) == len(set(parameters)) == 4
    assert len(list(model.networks())) == 2


class Beside(nn.Module):
    def __init__(self, n_in, n_out, context):
        super().__init__()
        self.one, self.other = nn.Linear(n_in, n_out), nn.Linear(context, n_out)

    def forward(self, x, context):
        assert x.ndim == context.ndim == 2
        return self.one(x) + self.other(context)


def test_a_context_is_its_second_argument():
    model = _vae(Beside(D, P, 3), Beside(Z, D, 3), context_dim=3)
    x, context = torch.randint(0, 2, (5, D)), torch.eye(3)[[0, 1, 2, 0, 1]]
    assert vi.LogWeightELBO(4)(model, x, context=context).value.shape == (5,)
    p = model.likelihood(torch.randn(4, 5, Z), context=context)
    assert p.batch_shape == (4, 5)
    with pytest.raises(ConfigurationError, match=r"the encoder cannot read \(B, 6\)") as refused:
        _vae(nn.Linear(D, P), nn.Linear(Z, D), context_dim=3)
    assert "encoder(x, context), with x (B, 6) and context (B, 3)" in refused.value.hint


def test_it_goes_wherever_a_network_goes():
    """Every inference with a network, and beside an exact model; an ensemble makes its own."""
    x, torch_x = torch.randint(0, 2, (5, D)), torch.randn(5, D)
    head = lambda: vi.DiagonalGaussian(Z)
    climber = nn.Sequential(nn.Linear(D + 2 * P, 2 * P))
    refined = vi.Refined(vi.Amortized(nn.Linear(D, P), head()), vi.AdamAscent(2))
    for inference in (vi.Iterative(climber, head(), 2, 2), refined):
        model = _vae(None, nn.Linear(Z, D), posterior=None, inference=inference)
        assert model.encode(x).shape == (5, Z)
        model.to(torch.float32)
    ladder = vi.Ladder((D,), nn.Linear(D, 4), nn.Linear(4, D), vi.Bernoulli(), [2, 1], width=4)
    assert ladder.encode(x).shape == (5, 3)
    exact = amortized(vi.PPCA((D,), Z), nn.Linear(D, P), head())
    assert exact.encode(torch_x).shape == (5, Z)
    ensemble = vi.Ensemble(nn.Linear(D, P), head(), 2)
    with pytest.raises(ConfigurationError, match="makes its encoders, and was given one Linear"):
        _vae(None, nn.Linear(Z, D), posterior=None, inference=ensemble)


def _by_hand(widths):
    layers = [nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in widths[:-1]]
    return nn.Sequential(*[part for layer in layers for part in layer], nn.Linear(*widths[-1]))


@pytest.mark.parametrize("replay", [False, True])
def test_a_fit_is_that_of_the_same_network_of_vi(tmp_path, replay):
    """Two epochs of digits from the same weights: at most 1e-4 nats apart."""
    found, data = [], vi.data.Digits().load()
    for own in (True, False):
        torch.manual_seed(0)
        hidden = [vi.MLP([32])] * 2
        encoder = _by_hand([(64, 32), (32, 2 * Z)]) if own else hidden[0]
        decoder = _by_hand([(Z, 32), (32, 64)]) if own else hidden[1]
        model = _vae(encoder, decoder, data_shape=(64,))
        if own:
            mine = model
        else:
            ours = dict(zip(mine.state_dict(), model.state_dict().values(), strict=True))
            found.append(ours)
            mine.load_state_dict(ours)
            start = copy.deepcopy(model.state_dict())
    for one in (mine, model):
        assert all(map(torch.equal, one.state_dict().values(), start.values()))
        options = {"batch_size": 20, "device": "cpu", "progress_bar": False, "replay": replay}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "model/ will not be written")
            done = vi.fit(
                one,
                data,
                epochs=2,
                run_dir=tmp_path / str(id(one)),
                loggers=[],
                callbacks=[],
                evaluation=vi.ImportanceSampling(10),
                **options,
            )
        found.append(done.metrics["test/elbo"])
    assert abs(found[1] - found[2]) <= 1e-4


def test_what_cannot_be_saved_says_so_before_the_first_step(tmp_path):
    """And the weights are in the checkpoints. Caught: an error after the last step."""
    model = _vae(nn.Linear(D, P), nn.Linear(Z, D))
    with pytest.raises(ConfigurationError, match="encoder is a torch.nn.*Linear, which no opt"):
        vi.save(model, tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
    said = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        watch = runs.Calls("on_train_start", 0, lambda: said.append(len(caught)))
        done = runs.fit(tmp_path / "run", net=lambda: model, callbacks=[watch])
    told = [str(w.message) for w in caught if "model/" in str(w.message)]
    assert len(told) == 1
    assert "python -m vi new" in told[0]
    assert said == [1]
    assert not (tmp_path / "run" / "model").exists()
    kept = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert "model.inference.encoder.module.weight" in kept["state_dict"]
    assert done.metrics["test/elbo"] < 0


PLUGIN = {
    "__init__.py": "",
    "networks.py": """
import torch
from torch import nn


class Small(nn.Module):
    def __init__(self, n_in: int, n_out: int, slope: float = 0.1) -> None:
        super().__init__()
        self.n_in, self.n_out, self.slope = n_in, n_out, slope
        self.layer = nn.Linear(n_in, n_out)

    def forward(self, x):
        return torch.nn.functional.leaky_relu(self.layer(x), self.slope)


class Forgetful(nn.Module):
    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.layer = nn.Linear(n_in, n_out)
""",
    "configs/encoder/small.yaml": "_target_: ownparts.networks.Small\nn_in: 6\nn_out: 4\n",
    "configs/encoder/forgetful.yaml": "_target_: ownparts.networks.Forgetful\n",
    "configs/decoder/small.yaml": "_target_: ownparts.networks.Small\nn_in: 2\nn_out: 6\n",
}


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    for name, text in PLUGIN.items():
        path = tmp_path / "ownparts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "ownparts"
    for name in [n for n in sys.modules if n.partition(".")[0] == "ownparts"]:
        del sys.modules[name]


def test_a_module_that_a_plugin_names_is_saved_by_that_name(plugin, tmp_path):
    """With its arguments, and bit-equal when it is loaded. Caught: a slope that was forgotten."""
    own = import_module("ownparts.networks")
    model = _vae(own.Small(D, P, slope=0.5), own.Small(Z, D)).eval()
    saved = vi.save(model, tmp_path / "model", plugins=[plugin])
    config = json.loads((saved / "config.json").read_text())
    expected = {"option": "small", "n_in": D, "n_out": P, "slope": 0.5}
    assert config["model"]["encoder"] == expected
    loaded, x = vi.load(saved, plugins=[plugin]), torch.randint(0, 2, (5, D))
    assert isinstance(loaded.encoder, OwnNetwork)
    assert torch.equal(loaded.encode(x), model.encode(x))
    with pytest.raises(ConfigurationError, match="no option names"):
        vi.save(model, tmp_path / "other")
    forgetful = own.Forgetful(D, P)
    forgetful.forward = forgetful.layer.forward
    with pytest.raises(ConfigurationError, match="does not keep its argument n_in"):
        vi.save(_vae(forgetful, own.Small(Z, D)), tmp_path / "third", plugins=[plugin])


def test_only_a_plugin_may_name_a_finished_module(plugin):
    target = {"_target_": "ownparts.networks.Small", "n_in": D, "n_out": P}
    assert build("encoder", target, plugins=[plugin]).n_in == D
    with pytest.raises(ConfigurationError, match="is refused"):
        build("encoder", target)
    with pytest.raises(ConfigurationError, match="is refused"):
        build("encoder", {"_target_": "torch.nn.Identity"}, plugins=[plugin])
    with pytest.raises(ConfigurationError, match="is refused"):
        build("prior", target, plugins=[plugin])
