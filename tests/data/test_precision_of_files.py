"""Numbers keep their digits from the file to log p(x), or are refused by column."""

import json
import warnings

import numpy as np
import pytest
import torch

import vi
from tests.support.inference import amortized
from vi.data.base import LoadedData, Values
from vi.data.csv import CSV
from vi.data.npz import NPZ
from vi.data.precision import floating
from vi.errors import DataError
from vi.training.checks.data import check_data
from vi.training.checks.magnitudes import steadying
from vi.training.settings import TrainerSettings

N = 400
RANDOM = np.random.default_rng(0)
TIMES = 1.7e9 + RANDOM.uniform(0, 3600, N).round(3)
NORMAL = RANDOM.normal(size=N)


def csv(tmp_path, **columns) -> LoadedData:
    path = tmp_path / "table.csv"
    rows = np.column_stack(list(columns.values()))
    np.savetxt(path, rows, "%.17g", ",", header=",".join(columns), comments="")
    return CSV(str(path), validation_fraction=0.25, test_fraction=0.25).load()


def npz(tmp_path, x) -> LoadedData:
    np.savez(tmp_path / "arrays.npz", x=x)
    return NPZ(str(tmp_path / "arrays.npz"), validation_fraction=0.0, test_fraction=0.0).load()


def whole(split) -> torch.Tensor:
    return split.batch(torch.arange(len(split))).x


def vae(dim=2, *, standardize=True, likelihood=None) -> vi.VAE:
    torch.manual_seed(0)
    network = vi.MLP([20])
    ends = (vi.DiagonalGaussian(2), vi.StandardNormal(2), likelihood or vi.SharedScaleGaussian())
    return vi.VAE((dim,), network, network, *ends, standardize=standardize)


def checked(data, model):
    check_data(data, model, TrainerSettings())


def test_a_table_has_as_many_different_values_as_its_file(tmp_path):
    """Caught: 600 times in seconds since 1970 that became 9."""
    data = csv(tmp_path, time=TIMES, b=NORMAL)
    x = torch.cat([whole(s) for s in (data.train, data.val, data.test)])
    for column, truth in zip(x.T, (TIMES, NORMAL), strict=True):
        assert np.array_equal(np.sort(column.numpy()), np.sort(truth))


@pytest.mark.parametrize(
    ("x", "dtype"),
    [
        (np.arange(9), torch.float32),
        (np.arange(9) + 2**24, torch.float64),
        (np.array([0, 2**53 - 1], dtype=np.uint64), torch.float64),
        (np.array([0.5, np.nan]), torch.float32),
        (np.array([0.1]), torch.float64),
        (np.array([0.1], dtype=np.float32), torch.float32),
        (np.array([1e300]), torch.float64),
        (np.array([True, False]), torch.float32),
        (np.array([-30_000], dtype=np.int16), torch.float32),
    ],
)
def test_numbers_are_single_where_that_holds_all_of_them(tmp_path, x, dtype):
    """Caught: all single (digits lost), all double (twice the memory for counts)."""
    stored = npz(tmp_path, x).train.stored
    assert stored.dtype == dtype
    key = stored.flatten().sort().values.double().numpy()
    assert np.array_equal(key, np.sort(x.astype(np.float64)), equal_nan=True)


def test_the_whole_array_decides_and_not_its_beginning():
    x = np.zeros(200_000)
    x[-1] = 0.1
    assert floating(x).dtype == torch.float64
    assert floating(x[:-1]).dtype == torch.float32


def test_bytes_stay_bytes(tmp_path):
    data = npz(tmp_path, RANDOM.integers(0, 256, (9, 3)).astype(np.uint8))
    assert data.train.stored.dtype == torch.uint8
    assert data.viewed((3,)).train.stored.dtype == torch.uint8
    assert whole(data.viewed((3,), doubles=False).train).dtype == torch.float32


def test_doubles_are_cast_once_for_a_model_that_does_not_take_them(tmp_path):
    """Exact models and those that standardise take them. Caught: a cast at every visit."""
    data = csv(tmp_path, time=TIMES, b=NORMAL)
    dtypes = {
        model: data.viewed((2,), doubles=model.takes_doubles).train.stored.dtype
        for model in (vi.PPCA((2,), 1), vae(), vae(standardize=False))
    }
    assert list(dtypes.values()) == [torch.float64, torch.float64, torch.float32]
    assert data.train.stored.dtype == torch.float64


@pytest.mark.parametrize("offset", [0.0, 1e7, 1.7e9, 1e15], ids=["none", "1e7", "times", "1e15"])
def test_what_is_added_to_a_column_changes_nothing_of_log_p(offset):
    """float32 networks, the same noise, x without what the sum loses: at most 1e-3 nats.

    At 1e15 the mean, too, has steps of 1/8: another map, by so much of a standard deviation.
    Caught: mean and sd in single precision, the cast before the centring, an encoder that was
    told the raw data; at 1e15 by NaN.
    """
    x = torch.randn(200, 2, dtype=torch.float64) * torch.tensor([1.0, 30.0])
    x = (x + offset) - offset
    values = []
    for shift in (0.0, offset):
        model = vae().eval()
        model.initialize(x + shift)
        torch.manual_seed(1)
        values.append(vi.log_likelihood(model, x + shift, 50).value)
    difference = (values[0] - values[1]).abs().max()
    assert difference <= (0.5 if offset == 1e15 else 1e-3)


def test_draws_and_reconstructions_are_in_the_units_of_the_data():
    """Seconds since 1970, to the second. Caught: single precision, whose steps are of 128 s."""
    x = torch.from_numpy(np.stack([TIMES, NORMAL], 1))
    model = vae()
    model.initialize(x)
    for drawn in (model.sample(N), model.sample_mean(N), model.reconstruct(x)):
        assert drawn.dtype == torch.float64
        assert (drawn[:, 0] - 1.7e9 - 1800).abs().max() < 20_000
        assert len(drawn[:, 0].unique()) == N


def test_the_map_is_saved_in_double_precision(tmp_path):
    """Caught: a model that was cast as a whole when it was loaded."""
    x = torch.from_numpy(np.stack([TIMES, NORMAL], 1))
    model = vae().eval()
    model.initialize(x)
    vi.save(model, tmp_path)
    again = vi.load(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())["units"]
    assert written["loc"] == model.data_loc.tolist()
    assert written["scale"] == model.data_scale.tolist()
    assert again.data_loc[0].item() == pytest.approx(TIMES.mean(), abs=1e-6)
    assert torch.equal(again.encode(x), model.encode(x))


def test_a_model_saved_with_a_map_in_single_precision_loads(tmp_path):
    """As before doubles were kept: the numbers are the same. Caught: a demand for doubles."""
    x = torch.randn(50, 2) * 3 + 10
    model = vae().eval()
    model.initialize(x)
    model.data_loc, model.data_scale = model.data_loc.float(), model.data_scale.float()
    vi.save(model, tmp_path)
    again = vi.load(tmp_path)
    assert again.data_loc.dtype == torch.float32
    assert torch.equal(again.encode(x), model.encode(x))


def test_a_mixture_keeps_every_digit(tmp_path):
    """log p(x) of times is that of the same times counted from their mean: at most 1e-9 nats."""
    data = csv(tmp_path, time=TIMES, b=NORMAL)
    x = whole(data.train)
    centre = torch.tensor([1.7e9, 0.0], dtype=torch.float64)
    values = []
    for shift in (0.0, centre):
        torch.manual_seed(0)
        model = vi.GMM((2,), 2, vi.Full())
        model.initialize(x - shift)
        values.append(model.log_evidence(x - shift))
    assert (values[0] - values[1]).abs().max() <= 1e-6


def test_whole_numbers_are_judged_before_a_cast(tmp_path):
    """N(0, 1) + 1e8 in single precision is whole. Caught: a warning that it is counts."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checked(csv(tmp_path, a=NORMAL + 1e8), vae(1))
    with pytest.warns(UserWarning, match="whole numbers"):
        checked(csv(tmp_path, a=np.arange(N)), vae(1))


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (NORMAL + 1e7, "column 'b' of the training data contains 1"),
        (NORMAL * 1e30, r"column 'b' of the training data contains -?\d[.\d]*e\+30"),
        (NORMAL * 1e-3 + 5e3, "column 'b' lies at 5000 with a spread of 0.000"),
    ],
    ids=["1e7", "1e30", "digits"],
)
def test_networks_that_do_not_standardise_refuse_by_column(tmp_path, column, said):
    """And those that do take all three. Caught: NaN at step 1, and advice about the rate."""
    data = csv(tmp_path, a=NORMAL, b=column)
    with pytest.raises(DataError, match=said) as refusal:
        checked(data, vae(standardize=False))
    assert "standardize=true" in refusal.value.hint
    checked(data, vae())


def test_an_encoder_of_an_exact_model_refuses_too(tmp_path):
    """It reads data as they are. Caught: NaN at step 1 for times in seconds since 1970."""
    model = amortized(vi.PPCA((2,), 1), vi.MLP([4]), vi.DiagonalGaussian(1))
    with pytest.raises(
        DataError, match="column 'a' of the training data contains 1.7e"
    ) as refusal:
        checked(csv(tmp_path, a=TIMES, b=NORMAL), model)
    assert "exact_em" in refusal.value.hint
    checked(csv(tmp_path, a=TIMES, b=NORMAL), vi.PPCA((2,), 1))


@pytest.mark.parametrize("where", range(3), ids=["train", "val", "test"])
def test_a_mark_for_a_missing_value_is_refused_by_column_and_value(where):
    """3.4e38 among N(0, 1), in any split. Caught: looked for in the training data alone."""
    parts = [torch.randn(50, 2, dtype=torch.float64) for _ in range(3)]
    parts[where][7, 1] = 3.4e38
    train, val, test = map(Values, parts)
    data = LoadedData(train, val, test, (2,), facts={"data/columns": "a,b"})
    names = ("training", "validation", "test")
    said = rf"column 'b' of the {names[where]} data contains 3.4e\+38 \(item 7\)"
    with pytest.raises(DataError, match=said) as refusal:
        checked(data, vae())
    assert "missing" in refusal.value.hint


def test_counts_of_any_size_are_read_as_they_are(tmp_path):
    """Only real numbers are looked at. Caught: a refusal of a count of a million."""
    checked(npz(tmp_path, np.full((N, 2), 10**6)), vae(likelihood=vi.Poisson()))


def test_the_hint_against_nan_names_the_column(tmp_path):
    """Caught: the learning rate, where the data are the reason."""
    data = csv(tmp_path, a=NORMAL, b=200 * NORMAL)
    hint = steadying(data, vae(standardize=False))
    assert hint.startswith("column 'b' reaches")
    assert "standardize=true" in hint
    assert "optimizer.lr" in steadying(data, vae())


@pytest.mark.parametrize("far", [1e4, 1e8, -1e12])
@pytest.mark.parametrize("posterior", [
    vi.DiagonalGaussian(2), vi.DiagonalLaplace(2), vi.FullGaussian(2), vi.LowRankGaussian(2, 1),
    vi.GaussianMixturePosterior(2, 3), vi.ChainPosterior([1, 1]),
], ids=lambda q: type(q).__name__)  # fmt: skip
def test_a_datum_far_out_has_a_very_low_and_finite_number(posterior, far):
    """Held out, among N(10, 2). Caught: s = exp(network) = infinity, and 0 / 0 where it is 0."""
    torch.manual_seed(0)
    x = 10 + 2 * torch.randn(200, 2)
    prior = vi.ChainPrior([1, 1]) if isinstance(posterior, vi.ChainPosterior) else None
    network = vi.MLP([50])
    parts = (posterior, prior or vi.StandardNormal(2), vi.SharedScaleGaussian())
    model = vi.VAE((2,), network, network, *parts, standardize=True)
    model.initialize(x)
    model.eval()
    odd = torch.full((8, 2), far)
    with torch.no_grad():
        numbers = [vi.log_likelihood(model, odd, 20).value, vi.LogWeightELBO()(model, odd).value]
    for number in numbers:
        assert number.isfinite().all()
        assert (number < -1e3).all()
