"""What a caller hands to a model: read without loss, or refused in one sentence of ``vi``."""

import inspect
from functools import cache
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import vi
from tests.support.inference import amortized
from vi.errors import ConfigurationError, DataError, ViError, require_whole
from vi.inputs import as_it_is

BITS = torch.tensor([[0, 1, 1, 0, 1, 0], [1, 1, 0, 0, 0, 1], [0, 0, 0, 1, 1, 1]])
WIDTH = 6


def _vae(**parts) -> vi.VAE:
    torch.manual_seed(0)
    defaults = {
        "data_shape": (WIDTH,),
        "encoder": vi.MLP([4]),
        "decoder": vi.MLP([4]),
        "posterior": vi.DiagonalGaussian(2),
        "prior": vi.StandardNormal(2),
        "likelihood": vi.Bernoulli(),
    }
    return vi.VAE(**(defaults | parts))


def _ladder() -> vi.Ladder:
    torch.manual_seed(0)
    parts = vi.MLP([4]), vi.MLP([4]), vi.Bernoulli()
    return vi.Ladder((WIDTH,), *parts, latent_dims=[2, 1], width=4)


def _started(model: vi.ExactModel) -> vi.ExactModel:
    torch.manual_seed(0)
    x = torch.randn(50, WIDTH, dtype=torch.float64)
    model.initialize((x > 0).to(x) if model.data_head() else x)
    return model


MODELS = {
    "vae": _vae,
    "ladder": _ladder,
    "ppca": lambda: _started(vi.PPCA((WIDTH,), 2)),
    "gmm": lambda: _started(vi.GMM((WIDTH,), 2, vi.Diagonal())),
    "bernoulli_mixture": lambda: _started(vi.BernoulliMixture((WIDTH,), 2)),
    "amortized": lambda: amortized(
        _started(vi.PPCA((WIDTH,), 2)), vi.MLP([4]), vi.FullGaussian(2)
    ),
}
CALLS = {
    "posterior": lambda model, x: model.posterior(x).mean,
    "encode": lambda model, x: model.encode(x),
    "reconstruct": lambda model, x: model.reconstruct(x),
    "log_likelihood": lambda model, x: vi.log_likelihood(model, x, num_samples=3).value,
    "bound": lambda model, x: vi.LogWeightELBO(2)(model, x).value,
    "evaluation": lambda model, x: vi.ImportanceSampling(3)(model, x)["log_likelihood"],
}


@pytest.fixture(autouse=True)
def _single():
    """As a user has it."""
    torch.set_default_dtype(torch.float32)


@cache
def _model(name: str) -> vi.LatentVariableModel:
    return MODELS[name]()


def _called(name: str, model: vi.LatentVariableModel, x: object) -> Tensor:
    torch.manual_seed(3)
    return CALLS[name](model, x)


EVERY_WAY = [*product(["vae"], CALLS), *product(MODELS, ["encode"])]


@cache
def _expected(name: str, call: str) -> Tensor:
    model = _model(name)
    dtype = torch.float64 if model.takes_doubles else torch.float32
    return _called(call, model, BITS.to(dtype))


READABLE = {
    "uint8": BITS.to(torch.uint8),
    "bool": BITS.bool(),
    "int64": BITS,
    "double": BITS.double(),
    "half": BITS.half(),
    "bfloat16": BITS.bfloat16(),
    "array": BITS.numpy(),
    "array of bytes": BITS.numpy().astype(np.uint8),
    "array of bits": BITS.numpy().astype(bool),
    "array of doubles": BITS.numpy().astype(float),
    "array of the other byte order": BITS.numpy().astype(">f8"),
    "array that is read only": np.broadcast_to(BITS.numpy(), BITS.shape),
    "lists": BITS.tolist(),
    "list of arrays": list(BITS.numpy()),
    "list of tensors": list(BITS),
    "more axes": BITS.float().view(3, 1, 2, 3),
}


@pytest.mark.parametrize("kind", READABLE)
def test_what_holds_the_same_numbers_is_read(kind):
    """The same result, bit by bit, as of a tensor in the precision of the model."""
    for name, call in EVERY_WAY:
        found = _called(call, _model(name), READABLE[kind])
        assert torch.equal(found, _expected(name, call).to(found.dtype)), (name, call)


UNREADABLE = {
    "must be a tensor of numbers, got NoneType": None,
    "must be a tensor of numbers, got str": "data.csv",
    "must be a tensor of numbers, got dict": {"x": 1},
    "must be a tensor of numbers, got list": [[0, 1], [0]],
    "must be a tensor of numbers, got ndarray of <U1": np.array([["a"] * WIDTH]),
    "must be a tensor of numbers, got Tensor of torch.complex64": torch.zeros(3, WIDTH) * 1j,
    "must be a tensor of numbers, got Digits": vi.data.Digits(),
    r"x has shape \(3, 5\), the model takes \(B, 6\)": torch.zeros(3, 5),
    r"x has shape \(3, 1, 3, 4\), the model takes": torch.zeros(3, 1, 3, 4),
    r"x has shape \(6,\), the model takes": torch.zeros(WIDTH),
    r"x has shape \(\), the model takes": 1.0,
    "x has no rows": torch.zeros(0, WIDTH),
    "x is on meta, the model on cpu": torch.zeros(3, WIDTH, device="meta"),
    r"2 NaN values in x \(first: item 1\)": torch.zeros(3, WIDTH)
    .index_fill(0, torch.tensor([1]), torch.nan)
    .where(torch.arange(WIDTH) < 2, 0.0),
    r"1 infinite values in x \(first: item 0\)": [[np.inf] + [0.0] * 5],
}


@pytest.mark.parametrize("message", UNREADABLE)
def test_what_cannot_be_read_is_refused_by_name(message):
    """One sentence and a hint, for every model and every way in. Caught: torch's own errors."""
    for name, call in EVERY_WAY:
        with pytest.raises(DataError, match=message) as refusal:
            _called(call, _model(name), UNREADABLE[message])
        assert refusal.value.hint
        assert "\n" not in f"{refusal.value}{refusal.value.hint}"


OUTSIDE = {
    "Bernoulli needs 0/1 data; got values in .0.00, 3.00.": (vi.Bernoulli, 3.0),
    "Poisson needs .*got values in .-1.00, 0.00.": (vi.Poisson, -1.0),
    r"Poisson needs .*first outside: 1.5 in item 2, entry \[4\]": (vi.Poisson, 1.5),
    "ContinuousBernoulli needs": (vi.ContinuousBernoulli, 1.01),
    "BetaLikelihood needs": (vi.BetaLikelihood, 0.0),
}


@pytest.mark.parametrize("message", OUTSIDE)
def test_values_outside_the_support_are_refused(message):
    """As on the command line. Caught: a finite number for a 3 under Bernoulli."""
    head, value = OUTSIDE[message]
    x = torch.full((3, WIDTH), 0.5 if head is vi.BetaLikelihood else 0.0)
    x[2, 4] = value
    for call in CALLS:
        with pytest.raises(DataError, match=message):
            _called(call, _vae(likelihood=head()), x)


def test_a_mixture_of_bits_takes_bits():
    for call in CALLS:
        with pytest.raises(DataError, match="BernoulliMixture needs 0/1 data"):
            _called(call, _model("bernoulli_mixture"), 3 * BITS)


def test_whole_numbers_that_would_be_rounded_are_refused():
    """2^24 + 1 is no float32, but a double. Caught: 16777217 that became 16777216."""
    x = torch.full((1, WIDTH), 2**24 + 1)
    with pytest.raises(DataError, match="whole numbers that torch.float32 rounds"):
        _vae(likelihood=vi.Poisson()).encode(x)
    assert _model("gmm").log_evidence(x).dtype == torch.float64


def test_what_is_not_observed_does_not_matter():
    """NaN in an entry that is said to be missing, as arrays too."""
    x, observed = BITS.double().numpy(), BITS.numpy() == 1
    holes = np.where(observed, x, np.nan)
    model, bound = _vae(), vi.ELBO()
    values = []
    for given in ((holes, observed), (torch.tensor(x).float(), torch.tensor(observed))):
        torch.manual_seed(0)
        values.append(bound(model, given[0], observed=given[1]).value)
    assert torch.equal(*values)
    filled = vi.impute(model, holes, 5, observed=observed).x
    assert filled.isfinite().all()
    with pytest.raises(DataError, match=r"observed has shape \(2, 6\), x has \(3, 6\)"):
        bound(model, holes, observed=observed[:2])


def test_held_out_entries_are_data():
    """They are scored, so that they have to be numbers, and in the support."""
    x, seen = 1.0 * BITS, torch.zeros(3, WIDTH, dtype=torch.bool)
    with pytest.raises(DataError, match="18 NaN values in x"):
        vi.impute(_vae(), x * torch.nan, 5, observed=seen, held_out=~seen)
    assert vi.impute(_vae(), x * torch.nan, 5, observed=seen).x.isfinite().all()


def test_a_context_has_a_row_for_each_datum():
    model = _vae(context_dim=2)
    context = np.eye(2)[[0, 1, 0]]
    assert torch.equal(
        model.encode(BITS, context=context),
        model.encode(1.0 * BITS, context=torch.tensor(context).float()),
    )
    with pytest.raises(DataError, match="context has 2 rows, x has 3"):
        model.encode(BITS, context=context[:2])


@pytest.mark.parametrize("n", [-1, 0])
def test_a_number_of_samples_is_a_whole_number(n):
    for sample in (way for m in map(_model, MODELS) for way in (m.sample, m.sample_mean)):
        with pytest.raises(ConfigurationError, match="n must be a whole number of at least 1"):
            sample(n)


def test_a_whole_number_is_whole():
    assert require_whole("n", np.int64(3)) == 3
    for n in (0, 2.5, "3", None):
        with pytest.raises(ConfigurationError, match=f"a whole number of at least 1, got {n}"):
            require_whole("n", n)


def test_images_and_vectors_of_the_same_order_are_read():
    """(B, 28, 28) and (B, 784) for (1, 28, 28); not (B, 3, 2, 1) for (1, 2, 3).

    Caught: channels that came last taken for rows.
    """
    model = _vae(data_shape=(1, 2, 3))
    whole = 1.0 * BITS.view(3, 1, 2, 3)
    for x in (whole.flatten(1), whole.squeeze(1), whole.view(3, 2, 3, 1)):
        assert torch.equal(model.encode(x), model.encode(whole))
    with pytest.raises(DataError, match="the model takes"):
        model.encode(whole.permute(0, 3, 2, 1))


def test_pseudo_inputs_are_no_data():
    """Real numbers under a likelihood of bits. Caught: a look at what VampPrior asks about."""
    model = _vae(prior=vi.VampPrior((WIDTH,), 2, 3))
    assert model.sample(4).shape == (4, WIDTH)
    assert vi.LogWeightELBO(2)(model, BITS).value.isfinite().all()
    assert model.prior().sample((2,)).isfinite().all()


def test_x_may_be_given_by_name():
    model = _vae()
    assert torch.equal(model.encode(x=BITS), model.encode(BITS))
    assert vi.log_likelihood(model=model, x=BITS, num_samples=2).value.shape == (3,)
    with pytest.raises(TypeError, match="missing a required argument: 'x'"):
        model.encode()


def test_as_it_is_nothing_is_looked_at():
    """What a training does: no number is read, so that nothing waits for a device."""
    with as_it_is():
        value = vi.ELBO()(_vae(), 3.0 * BITS).value
        assert value.isfinite().all()
        with pytest.raises(RuntimeError):
            _vae().encode(BITS[:, 1:])
    with pytest.raises(DataError):
        _vae().encode(3 * BITS)


def test_gradients_and_transforms_go_through():
    """With respect to x, all at once and per sample by vmap: at most 1e-6.

    Caught: a look at the numbers of a batched tensor, which has none.
    """
    model, x = _vae(likelihood=vi.Gaussian()), torch.randn(3, WIDTH)
    mean = lambda x: model.posterior(x[None]).mean[0]
    whole = model.posterior(x).mean
    assert (torch.func.vmap(mean)(x) - whole).abs().max() <= 1e-6
    jacobians = torch.func.vmap(torch.func.jacrev(mean))(x)
    rows = torch.autograd.functional.jacobian(lambda x: model.posterior(x).mean.sum(0), x)
    assert (jacobians - rows.movedim(1, 0)).abs().max() <= 1e-6


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_what_makes_no_network_is_refused(part):
    """Whoever gives no module reads what to give in its place. Caught: a TypeError."""
    with pytest.raises(ConfigurationError, match=f"{part} must be a module") as refusal:
        _vae(**{part: lambda n_in, n_out: "no module"})
    assert "vi.MLP" in refusal.value.hint
    made = _vae(**{part: lambda n_in, n_out: nn.LazyLinear(n_out[0])})
    assert made.encode(BITS).shape == (3, 2)


@pytest.mark.parametrize(
    "make",
    [
        lambda: vi.Ladder((WIDTH,), lambda n_in, n_out: 0, vi.MLP([4]), vi.Bernoulli(), 2),
        lambda: amortized(vi.PPCA((WIDTH,), 2), lambda n_in, n_out: 0, vi.FullGaussian(2)),
    ],
    ids=["ladder", "amortized"],
)
def test_every_model_says_what_its_encoder_may_be(make):
    with pytest.raises(ConfigurationError, match="encoder must be a module"):
        make()


@pytest.mark.parametrize("data", [None, BITS, "digits", [1, 2]])
def test_what_is_no_data_set_cannot_be_trained_on(data):
    with pytest.raises(ViError, match="not a data set"):
        inspect.unwrap(vi.fit)(_vae(), data)  # past the checks of types under pytest
