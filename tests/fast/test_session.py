"""A session changes how fast a number comes, never the number, and leaves nothing behind."""

import copy
import os
import pickle
from contextlib import nullcontext

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import vi
from vi.data.base import LoadedData, Values
from vi.fast import session
from vi.fast.plans import Plan, memory
from vi.fast.replay.replay import ReplayedSteps

ROWS, WIDTH = 64, 300
SIZE = f"{ROWS}x{WIDTH}x{WIDTH}, 1 threads"


@pytest.fixture(autouse=True)
def by_onednn(tmp_path, monkeypatch):
    """So that a session has something to do on every processor."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    memory().keep(SIZE, [True] * len(Plan._fields))


def model():
    torch.manual_seed(0)
    parts = (vi.MLP([WIDTH]), vi.MLP([WIDTH]), vi.DiagonalGaussian(3), vi.StandardNormal(3))
    return vi.VAE((WIDTH,), *parts, vi.Bernoulli())


def bits(n=ROWS):
    return torch.rand(n, WIDTH, generator=torch.Generator().manual_seed(0)).round()


def seen(network):
    """Everything of a module that somebody could hold on to."""
    parts = [(name, part, type(part), dict(vars(part))) for name, part in network.named_modules()]
    tensors = [(k, id(v), v.stride(), v.is_contiguous()) for k, v in network.named_parameters()]
    return [(n, id(p), kind, sorted(own)) for n, p, kind, own in parts], tensors


def test_within_it_other_kernels_compute_and_after_it_torch():
    """To 1e-5, then to the bit. Caught: a session that swaps nothing."""
    one, x = model(), bits()
    plain = one.encoder(x)
    with session(None, one):
        inside = one.encoder(x)
        assert "_Layers" in str(inside.grad_fn.next_functions)  # past the view
    assert (inside - plain).abs().max() <= 1e-5 * plain.abs().max()
    assert torch.equal(one.encoder(x), plain)


@pytest.mark.parametrize("fails", [False, True])
def test_everything_is_as_it_was(fails):
    """Also after an error. Caught: a class that stays."""
    one = model()
    keys, before = [*one.state_dict()], seen(one)
    with pytest.raises(ZeroDivisionError) if fails else nullcontext(), session(None, one):
        assert [*one.state_dict()] == keys
        assert isinstance(one.encoder.layers[0], nn.Linear)
        assert type(one.encoder.layers[0]) is not nn.Linear
        if fails:
            raise ZeroDivisionError
    assert seen(one) == before


def test_hooks_are_called_and_stay():
    one, called = model(), []
    one.encoder.layers[0].register_forward_hook(lambda *_: called.append("hook"))
    with session(None, one):
        one.encoder(bits())
    one.encoder(bits())
    assert called == ["hook"] * 2


def through_a_file(one):
    return pickle.loads(pickle.dumps(one))  # noqa: S301


@pytest.mark.parametrize("again", [copy.deepcopy, through_a_file])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_copy_is_plain(again, precision):
    """To the bit what torch computes. Caught: a class of the session in a file."""
    one, x = model(), bits()
    plain = one.encoder(x)
    settings = vi.TrainerSettings(precision=precision)
    with session(settings, one) as fast, fast.dry_running(one):
        rounded = not torch.equal(one.encoder(x), plain)
        assert rounded or precision == "float32"
        other = again(one)
        assert torch.equal(other.encoder(x), plain)
    kinds = [type(part) for part in one.modules()]
    assert [type(part) for part in other.modules()] == kinds


def test_the_same_is_printed_within_it():
    one = model()
    text = str(one)
    with session(None, one):
        assert str(one) == text


def test_a_session_within_another_does_nothing():
    """Caught: kernels that were turned off, turned on by an evaluation."""
    one, x = model(), bits()
    plain = one.encoder(x)
    with session(vi.TrainerSettings(linear_kernels="torch"), one):
        with session(None, one):
            assert torch.equal(one.encoder(x), plain)
        assert torch.equal(one.encoder(x), plain)
    with session(None, one):
        with session(None, one):
            pass
        assert type(one.encoder.layers[0]) is not nn.Linear


@pytest.mark.parametrize("fails", [False, True])
def test_each_model_has_a_session_of_its_own(fails):
    """Also within that of another. Caught: a second model of which nothing is swapped."""
    one, other, x = model(), model(), bits()
    plain, before = other.encoder(x), (seen(one), seen(other))
    with session(None, one):
        within = seen(one)
        with pytest.raises(ZeroDivisionError) if fails else nullcontext(), session(None, other):
            assert "_Layers" in str(other.encoder(x).grad_fn.next_functions)
            assert seen(one) == within
            if fails:
                raise ZeroDivisionError
        assert torch.equal(other.encoder(x), plain)
        assert seen(one) == within
    assert (seen(one), seen(other)) == before


def test_the_parts_that_models_share_stay_while_one_needs_them():
    """Caught: the inner session taking from the outer what both hold."""
    one, x = model(), bits()
    other, before = nn.Sequential(one.encoder, nn.Linear(6, 6)), seen(one)
    with session(None, one):
        inside = one.encoder(x)
        with session(None, other):
            assert type(other[1]) is not nn.Linear
        assert type(other[1]) is nn.Linear
        assert torch.equal(one.encoder(x), inside)
        assert type(one.encoder.layers[0]) is not nn.Linear
    assert seen(one) == before


def test_an_evaluation_within_a_run_computes_as_the_run_does():
    """Of any model. Caught: kernels that were turned off, turned on for a second one."""
    other, x = model(), bits()
    plain = other.encoder(x)
    with session(vi.TrainerSettings(linear_kernels="torch"), model()), session(None, other):
        assert torch.equal(other.encoder(x), plain)
        assert type(other.encoder.layers[0]) is not nn.Linear


def test_what_is_not_torchs_own_is_left_alone():
    """A class derived from it, and a forward of one's own."""

    class Scaled(nn.Linear):
        def forward(self, input):
            return 2 * super().forward(input)

    own = nn.Linear(WIDTH, WIDTH)
    own.forward = lambda input: input
    network = nn.Sequential(Scaled(WIDTH, WIDTH), nn.ReLU(), own)
    x = torch.randn(ROWS, WIDTH)
    plain = network(x)
    with session(None, network):
        assert torch.equal(network(x), plain)


def library():
    """What a user's process would notice."""
    matmul = getattr(torch.backends.mkldnn, "matmul", None)
    halves = torch.full((8,), 1e-39, dtype=torch.float32) * 0.5
    return {
        "threads": torch.get_num_threads(),
        "flushed": int((halves.view(torch.int32) != 0).sum()),
        "rounding": getattr(matmul, "fp32_precision", None),
        "matmul": torch.get_float32_matmul_precision(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "environment": os.environ.get("OMP_NUM_THREADS"),
        "operations": [op for op in torch._C._dispatch_get_all_op_names() if op[:4] == "vi::"],
    }


def fit(folder, one=None, **options):
    x = bits(2 * ROWS)
    data = LoadedData(Values(x), Values(x[:20]), Values(x[:10]), (WIDTH,))
    options = {"batch_size": ROWS, "callbacks": [], "progress_bar": False} | options
    options |= {"loggers": [], "evaluation": vi.ImportanceSampling(2), "device": "cpu"}
    return vi.fit(one or model(), data, run_dir=folder, epochs=40, **options)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_run_leaves_the_library_and_the_model_as_they_were(tmp_path, precision, monkeypatch):
    """Caught: precisions, threads and operations that outlive a run."""
    monkeypatch.setattr("vi.fast.rounding._WORTH", 0.0)  # also where it is no gain
    one = model()
    kinds, before = [type(part) for part in one.modules()], library()
    fit(tmp_path, one, threads=2, precision=precision)
    assert library() == before
    assert before["operations"] == []
    assert [type(part) for part in one.modules()] == kinds
    assert all(p.is_contiguous() for p in one.parameters())


@pytest.mark.parametrize("same", [False, True])
def test_a_run_within_a_session_is_the_run(tmp_path, same):
    """To the bit, and it keeps what it computed by. Caught: kernels that no checkpoint knows."""
    one = model()
    alone = fit(tmp_path / "alone", model()).metrics
    with session(None, one if same else model()):
        within = fit(tmp_path / "within", one).metrics
    assert [name for name in alone if name.startswith("products/")]
    assert [*within] == [*alone]
    for name in (name for name in alone if "seconds" not in name):
        assert within[name] == alone[name], name


class Nothing:
    """What would stand in place of all that exists for speed, if it were taken away."""

    plan_size = 5

    def __init__(self, settings, *modules):
        self.settings = settings

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def training(self, *_, **__):
        return nullcontext()

    dry_running = training

    def backward(self):
        return nullcontext()

    def step(self, plain, *_):
        return plain

    def state(self, *_):
        return {"products": {}}

    def follow(self, *_):
        pass

    agree = follow

    @staticmethod
    def plans_of(_):
        return []

    def report(self):
        return {}


def test_without_it_every_number_is_the_same(tmp_path, monkeypatch):
    """Up to rounding. Caught: a number that only the fast path computes."""
    recorded, record = [], ReplayedSteps._record
    monkeypatch.setattr(
        ReplayedSteps, "_record", lambda *told: recorded.append(1) or record(*told)
    )
    fast = fit(tmp_path / "fast", threads=1).metrics
    for module in ("training.module", "evaluation.over_split", "evaluation.log_likelihood"):
        monkeypatch.setattr(f"vi.{module}.session", Nothing)
    plain = fit(tmp_path / "plain", threads=1).metrics
    assert recorded
    numbers = {k: v for k, v in plain.items() if k.startswith(("test/", "val/", "train/"))}
    numbers = {k: v for k, v in numbers.items() if "seconds" not in k}
    assert len(numbers) > 10
    for name, value in numbers.items():
        expected = value if isinstance(value, str) else pytest.approx(value, rel=1e-4, abs=1e-4)
        assert fast[name] == expected, name


def conv():
    torch.manual_seed(0)
    parts = (vi.ConvEncoder([8, 16]), vi.ConvDecoder([16, 8]))
    return vi.VAE((1, 8, 8), *parts, vi.DiagonalGaussian(3), vi.StandardNormal(3), vi.Bernoulli())


def test_images_are_laid_out_by_channels_within_it(tmp_path):
    """To 1e-5, in the same parameters, and files are as before. Caught: weights that stay so."""
    one, x = conv(), torch.rand(16, 1, 8, 8).round()
    plain = vi.ELBO()(one, x).value  # after which heads know their layouts
    before = seen(one)
    with session(None, one):
        seconds = [m.weight for m in one.modules() if isinstance(m, nn.Conv2d)][1]
        assert seconds.is_contiguous(memory_format=torch.channels_last)
        assert not seconds.is_contiguous()
        torch.manual_seed(1)
        inside = vi.ELBO()(one, x)
        inside.surrogate.sum().backward()
    gradients = [p.grad.clone() for p in one.parameters()]
    one.zero_grad()
    torch.manual_seed(1)
    outside = vi.ELBO()(one, x)
    outside.surrogate.sum().backward()
    assert plain.shape == inside.value.shape
    assert (inside.value - outside.value).abs().max() <= 1e-5 * outside.value.abs().max()
    for ours, p in zip(gradients, one.parameters(), strict=True):
        assert (ours - p.grad).abs().max() <= 1e-4 * p.grad.abs().max()
    assert seen(one) == before
    save_file(one.state_dict(), tmp_path / "weights.safetensors")


def test_convolutions_train_to_the_same_numbers(tmp_path, monkeypatch):
    """Laid out by channels and replayed. Caught: a replay in another layout."""
    x = torch.rand(128, 1, 8, 8).round()
    data = LoadedData(Values(x), Values(x[:20]), Values(x[:10]), (1, 8, 8))
    options = {"batch_size": 16, "callbacks": [], "progress_bar": False, "loggers": []}
    options |= {"evaluation": vi.ImportanceSampling(2), "device": "cpu", "threads": 1}
    fast, plain = (
        vi.fit(conv(), data, run_dir=tmp_path / name, epochs=9, replay=replay, **options)
        for name, replay in (("fast", True), ("plain", False))
    )
    assert fast.metrics["train/elbo"] == plain.metrics["train/elbo"]
    monkeypatch.setattr("vi.training.module.session", Nothing)
    torchs = vi.fit(conv(), data, run_dir=tmp_path / "torch", epochs=9, replay=False, **options)
    assert fast.metrics["train/elbo"] == pytest.approx(torchs.metrics["train/elbo"], rel=1e-4)
