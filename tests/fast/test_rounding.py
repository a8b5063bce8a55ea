"""A precision rounds, by value, and is worth it, by the clock; or it is refused."""

from itertools import cycle

import pytest
import torch

import vi
from tests.support.tiny import D, vae
from vi.cache import Measured
from vi.data.base import LoadedData, Values
from vi.fast import linear as products
from vi.fast import rounding as module
from vi.fast import settled
from vi.fast.plans import memory
from vi.fast.rounding import Timed, _by_autocast, rounds
from vi.training.module import TrainingModule
from vi.training.settings import TrainerSettings
from vi.training.steps import trial

CPU = torch.device("cpu")


def to_bits(x, bits):
    """Rounded to so many bits of the mantissa."""
    mantissa, exponent = torch.frexp(x)
    return torch.ldexp((mantissa * 2**bits).round() / 2**bits, exponent)


@pytest.mark.parametrize(
    ("bits", "expected"), [(24, False), (18, False), (11, True), (8, True), (4, False)]
)
def test_rounding_is_told_by_the_error_of_the_product(bits, expected):
    assert rounds(lambda a, b: to_bits(a, bits) @ to_bits(b, bits)) is expected


def test_torch_rounds_within_autocast_and_not_outside_it():
    """On every processor: what has eight bits has them by its type."""
    assert rounds(_by_autocast)
    assert not rounds(torch.mm)


@pytest.mark.parametrize("left_out", ["x", "of_y", "of_y.t()"])
def test_every_layout_of_a_layer_has_to_round(left_out):
    """Caught: the product of the gradients in single precision, and that of the layer rounded."""
    size = (64, 128, 256)
    shapes = {"x": (64, 128), "of_y": (64, 256), "of_y.t()": (256, 64)}

    def multiply(a, b):
        return a @ b if a.shape == shapes[left_out] else _by_autocast(a, b)

    assert rounds(_by_autocast, [size])
    assert not rounds(multiply, [size])


def test_tf32_is_refused_where_it_changes_nothing(monkeypatch):
    """Caught: a run in single precision that says tf32."""
    given = run(precision="tf32")
    monkeypatch.setattr(module, "_by_tensor_cores", torch.mm)
    with pytest.raises(vi.ConfigurationError, match="tf32 has no effect") as refused:
        rounding(given, CPU).__enter__()
    assert refused.value.hint == "trainer.precision=float32"
    monkeypatch.setattr(module, "_by_tensor_cores", lambda a, b: to_bits(a, 11) @ to_bits(b, 11))
    with rounding(given, CPU) as facts:
        assert facts == {"precision": "tf32"}


def data():
    x = torch.rand(60, D).round()
    return LoadedData(Values(x), None, Values(x[:10]), (D,))


def run(**settings):
    return TrainingModule(vae(), vi.ELBO(), vi.Joint(), data(), TrainerSettings(**settings), 0)


def timed(run):
    return Timed(lambda: trial(run, run.settings.batch_size), run.settings.batch_size, "a step")


def rounding(run, device, *, choose=True):
    """As a session has it while this run trains."""
    kernels, settings = run.session.kernels, run.settings
    way = settings.precision, run.model, kernels, device, timed(run)
    return module.rounding(*way, choose=choose)


def name_of(run):
    return module._name(timed(run), run.model)


class Steps:
    """Steps that take the milliseconds they are told, and a oneDNN that rounds or does not."""

    def __init__(self, monkeypatch, *, onednn_rounds=True):
        self.seconds, self.now, self.timed = {}, 0.0, []
        names = {way: name for name, way in module._WAYS.items()}
        monkeypatch.setattr(settled.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(
            module, "_step", lambda t, k, way, s: self.step(names.get(way, "float32"))
        )
        monkeypatch.setattr(module, "_sizes", lambda *_: [(64, 128, 256)])
        multiply = _by_autocast if onednn_rounds else torch.mm
        onednn = module._WAYS["onednn"]._replace(multiply=multiply)
        monkeypatch.setitem(module._WAYS, "onednn", onednn)
        names[onednn] = "onednn"
        monkeypatch.setattr(products, "can_be_asked_to_round", lambda: True)

    def step(self, name):
        self.timed.append(name)

        def take():
            self.now += 1e-3 * next(self.seconds[name])

        return take

    def take(self, **seconds):
        self.seconds = {
            name: cycle(s if isinstance(s, list) else [s]) for name, s in seconds.items()
        }


@pytest.fixture
def given(tmp_path, monkeypatch):
    """A module, and nothing measured."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return run(precision="bf16")


@pytest.mark.parametrize(
    ("seconds", "by", "speedup"),
    [((3.0, 2.0, 1.5), "onednn", 2.0), ((3.0, 1.0, 2.0), "autocast", 3.0)],
)
def test_the_fastest_way_that_rounds_is_taken(given, monkeypatch, seconds, by, speedup):
    steps = Steps(monkeypatch)
    steps.take(**dict(zip(("float32", "autocast", "onednn"), seconds, strict=True)))
    with rounding(given, CPU) as facts:
        assert given.session.kernels.round_by_onednn == (by == "onednn")
    assert not given.session.kernels.round_by_onednn
    assert facts == {
        "precision": "bf16",
        "precision/rounded_by": by,
        "precision/speedup": pytest.approx(speedup),
    }


def test_a_way_that_does_not_round_is_none_however_fast(given, monkeypatch):
    """Caught: products moved to a faster library, in single precision, taken for bf16."""
    steps = Steps(monkeypatch, onednn_rounds=False)
    steps.take(float32=3.0, autocast=2.0, onednn=0.1)
    with rounding(given, CPU) as facts:
        assert facts["precision/rounded_by"] == "autocast"
    assert "onednn" not in steps.timed


def test_another_process_of_the_run_does_not_time_its_steps(given, monkeypatch):
    """It takes what the first one has found, and else what every torch can do."""
    steps = Steps(monkeypatch)
    with rounding(given, CPU, choose=False) as facts:
        assert facts["precision/rounded_by"] == "autocast"
        given.session.kernels.round_by_onednn = (
            True  # as the checkpoint of a run says that goes on
        )
    assert facts["precision/rounded_by"] == "onednn"
    assert not given.session.kernels.round_by_onednn
    assert not steps.timed
    memory().keep(name_of(given), ["onednn", 2.0])
    with rounding(given, CPU, choose=False) as facts:
        assert facts["precision/rounded_by"] == "onednn"


def test_what_is_no_gain_is_refused_and_remembered(given, monkeypatch):
    """1.25 times as fast as single precision is required."""
    steps = Steps(monkeypatch)
    steps.take(float32=1.2, autocast=1.0, onednn=1.1)
    for _ in range(2):
        with pytest.raises(vi.ConfigurationError, match="bf16 is no gain here") as refused:
            rounding(given, CPU).__enter__()
        assert "trainer.precision=float32" in refused.value.hint
        assert refused.value.exit_code == 2
    assert len(steps.timed) == 3
    given = run(precision="bf16", batch_size=7)
    steps.take(float32=1.3, autocast=1.0, onednn=1.1)
    with rounding(given, CPU):  # another step
        assert len(steps.timed) == 6


def test_a_noisy_moment_refuses_nothing(given, monkeypatch):
    """The order changes in every round. Caught: bf16 refused by what ran beside it."""
    steps = Steps(monkeypatch)
    steps.take(float32=2.0, autocast=[1.0] * 3 + [9.0] * 3, onednn=3.0)
    kept = []
    monkeypatch.setattr(Measured, "keep", lambda *entry: kept.append(entry))
    with rounding(given, CPU) as facts:
        assert facts["precision/rounded_by"] == "autocast"
    assert not kept


@pytest.mark.parametrize("kept", [["fpmath", 2.0], ["autocast"], "autocast", ["onednn", "2"]])
def test_what_is_no_measurement_is_made_again(given, monkeypatch, kept):
    steps = Steps(monkeypatch)
    steps.take(float32=3.0, autocast=2.0, onednn=1.5)
    memory().keep(name_of(given), kept)
    with rounding(given, CPU) as facts:
        assert facts["precision/speedup"] == pytest.approx(2.0)


def test_a_run_says_what_rounds_its_products(tmp_path, monkeypatch):
    """With real steps, on whatever processor this is."""
    monkeypatch.setattr(module, "_WORTH", 0.0)
    options = {"callbacks": [], "loggers": [], "progress_bar": False, "device": "cpu"}
    result = vi.fit(vae(), data(), epochs=1, run_dir=tmp_path, precision="bf16", **options)
    assert result.metrics["precision"] == "bf16"
    assert result.metrics["precision/rounded_by"] == "autocast"  # no product is large
    assert result.metrics["precision/speedup"] > 0
