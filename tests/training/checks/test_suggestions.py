"""Which likelihood fits the data, and what is said where none or another one would."""

import sys
import warnings

import numpy as np
import pytest
import torch

import vi
from vi.cli import train
from vi.cli.reporting import reporting
from vi.data.base import LoadedData, Values
from vi.errors import DataError
from vi.training.checks.data import check_data
from vi.training.settings import TrainerSettings

SHORT = ["trainer.max_steps=2", "trainer.device=cpu"]
SHORT += ["evaluation.num_samples=2", "trainer.progress_bar=false"]
NETWORKS = ["hidden=[4]", "latent_dim=2"]

torch.manual_seed(0)
BITS = torch.randint(0, 2, (60, 4)).float()
BYTES = torch.randint(0, 256, (60, 4)) / 255
COUNTS = torch.randint(0, 9, (60, 4)).float()
UNIT = 0.01 + 0.98 * torch.rand(60, 4)
REALS = torch.randn(60, 4)


def model(likelihood, data_shape=(4,)):
    network = vi.MLP([4])
    return vi.VAE(data_shape, network, network, vi.DiagonalGaussian(2), vi.StandardNormal(2),
                  likelihood)  # fmt: skip


def looked_at(x, likelihood):
    split = Values(x)
    check_data(LoadedData(split, None, split, (4,)), model(likelihood), TrainerSettings())


def suggested(x, likelihood):
    """The names of a hint, in order."""
    with pytest.raises(DataError) as caught:
        looked_at(x, likelihood)
    return caught.value.hint.rpartition("likelihood=")[2].split("|")


@pytest.mark.parametrize(
    ("x", "wrong", "first"),
    [
        (BITS, vi.Categorical(3, 7), "bernoulli"),
        (BYTES, vi.Bernoulli(), "categorical_pixels"),
        (COUNTS, vi.Bernoulli(), "negative_binomial"),
        (UNIT, vi.Bernoulli(), "beta"),
        (REALS, vi.Bernoulli(), "gaussian"),
    ],
    ids=["bits", "bytes", "counts", "unit", "reals"],
)
def test_the_narrowest_comes_first(x, wrong, first):
    """Caught: the order of the alphabet; classes in place of instances, whose grids differ."""
    names = suggested(x, wrong)
    assert names[0] == first
    assert len(names) == len(set(names)) <= 5


def test_every_suggestion_holds_the_data():
    """And those that do not are not named."""
    assert set(suggested(BYTES, vi.Bernoulli())) >= {
        "discretised_logistic",
        "continuous_bernoulli",
    }
    assert set(suggested(COUNTS, vi.Bernoulli())) >= {"negative_binomial", "poisson"}
    assert not {"poisson", "bernoulli", "categorical"} & set(suggested(UNIT, vi.Bernoulli()))


@pytest.mark.parametrize(
    ("x", "chosen", "settings"),
    [
        (COUNTS, vi.Categorical(5), "likelihood.num_categories=9 or"),
        (torch.randint(0, 17, (60, 4)) / 16, vi.DiscretisedLogistic(), "likelihood.levels=16 or"),
        (
            torch.randint(0, 17, (60, 4)) / 16,
            vi.Categorical(256, 255),
            "likelihood.num_categories=17 likelihood.levels=16 or",
        ),
    ],
    ids=["categories", "levels", "both"],
)
def test_the_grid_of_the_data_is_named(x, chosen, settings):
    """Caught: a grid twice as fine; the number of the largest category for their count."""
    with pytest.raises(DataError) as caught:
        looked_at(x, chosen)
    assert caught.value.hint.startswith(settings)


@pytest.mark.parametrize(
    ("x", "chosen", "said"),
    [
        (BITS + 0.99, vi.Bernoulli(), r"0/1 data; got values in \[0.99, 1.99\]"),
        (COUNTS, vi.Categorical(5), r"the integers 0 .. 4; got values in \[0.00, 8.00\]"),
        (COUNTS + 0.5, vi.Categorical(20), r"got values in \[0.50, 8.50\].*first outside: "),
        (BYTES + 0.1, vi.DiscretisedLogistic(), r"k/255 with k in 0 .. 255; got values in"),
    ],
)
def test_values_outside_the_support_end_with_the_numbers(x, chosen, said):
    with pytest.raises(DataError, match=said) as caught:
        looked_at(x, chosen)
    assert caught.value.exit_code == 3


def test_the_first_value_outside_is_found():
    """Caught: the item within its block in place of that within the data."""
    x = BITS.repeat(100, 1)
    x[5000, 2] = 2.5
    with pytest.raises(DataError, match=r"first outside: 2.5 in item 5000, entry \[2\]"):
        looked_at(x, vi.Bernoulli())


def test_missing_entries_are_not_outside():
    """What stands in them does not matter. Caught: a column's support asked of another's."""
    x = torch.cat([BITS[:, :2], REALS[:, :2]], -1)
    observed = torch.rand(60, 4) < 0.7
    split = Values(x.where(observed, torch.nan)).with_observed(observed)
    table = vi.MixedTable([vi.Bernoulli(), vi.Bernoulli(), vi.Gaussian(), vi.Gaussian()])
    check_data(LoadedData(split, None, split, (4,)), model(table), TrainerSettings())


@pytest.mark.parametrize(("x", "better"), [(BITS, "bernoulli"), (COUNTS, "negative_binomial")])
def test_a_density_of_whole_numbers_is_doubted(x, better):
    """One warning; none where the data are real or the likelihood discrete."""
    with pytest.warns(UserWarning, match=rf"whole numbers .* likelihood={better}\|") as said:
        looked_at(x, vi.SharedScaleGaussian())
    assert len(said) == 1


@pytest.mark.parametrize(
    ("x", "chosen"),
    [(REALS, vi.Gaussian()), (BYTES, vi.Gaussian()), (BITS, vi.Bernoulli())],
    ids=["reals", "bytes", "bits"],
)
def test_nothing_is_said_where_it_fits(x, chosen):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        looked_at(x, chosen)


# ---- as a user types it ----------------------------------------------------------------


@pytest.fixture
def typed(tmp_path, monkeypatch, capsys):
    """Runs train.py on an array or on named data: (exit code, what it says)."""

    def run(*arguments, x=None):
        if x is not None:
            np.savez(tmp_path / "x.npz", x=x)
            arguments = ("data=npz", f"data.path={tmp_path}/x.npz", *arguments)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["train.py"])
        monkeypatch.setattr("vi.evaluation.over_split._DRAWS", 2)
        try:
            networks = [] if "model=gmm" in arguments else NETWORKS
            train.main([*SHORT, *networks, *arguments])
        except SystemExit as end:
            return end.code, capsys.readouterr().err
        return 0, capsys.readouterr().err

    return run


FAULTS = {
    "outside": (
        {"x": REALS.numpy()},
        ["likelihood=bernoulli"],
        3,
        "Bernoulli needs 0/1 data; got values in [-",
    ),
    "category": (
        {"x": COUNTS.numpy()},
        ["likelihood=categorical", "likelihood.num_categories=4"],
        3,
        "Categorical needs the integers 0 .. 3; got values in [0.00, 8.00]",
    ),
    "fraction": (
        {"x": COUNTS.numpy() / 2},
        ["likelihood=poisson"],
        3,
        "got values in [0.00, 4.00] in the training data (first outside: ",
    ),
    "components": (
        {"x": REALS.numpy()},
        ["model=gmm", "scheme=exact_em", "num_components=50"],
        3,
        "50 components are more than the 48 different training data",
    ),
    "no_latent": ({}, ["latent_dim=0"], 2, "latent_dim must be greater than 0, got 0"),
    "one_column": (
        {"x": REALS.numpy()},
        ["likelihood=table", "likelihood.likelihoods=[gaussian,bernoulli]"],
        2,
        "likelihoods has 2 columns, the data have shape (4,)",
    ),
    "unnamed": ({"x": REALS.numpy()}, ["likelihood=table"], 2, "likelihood.likelihoods is requi"),
    "small_image": (
        {},
        ["encoder=conv", "encoder.channels=[2,2,2,2]"],
        2,
        "encoder=conv with 4 layers needs images",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_input_ends_with_the_numbers_and_leaves_nothing(typed, tmp_path, fault):
    data, arguments, code, said = FAULTS[fault]
    ended, text = typed(*arguments, **data)
    error, hint = text.splitlines()
    assert ended == code
    assert error.startswith("error: ")
    assert said in error
    assert hint.startswith("hint: ")
    assert not (tmp_path / "outputs").exists()


def test_bits_are_offered_for_bytes_only(typed):
    """Caught: a hint whose command ends with another error."""
    for x, offered in ((REALS.numpy(), False), ((255 * BYTES).byte().numpy(), True)):
        _, text = typed("likelihood=bernoulli", x=x)
        assert ("data.binarize=dynamic" in text) == offered


def test_a_warning_is_one_line(capsys):
    """Of the file and the line that warned nobody hears."""
    with warnings.catch_warnings(), reporting():
        warnings.simplefilter("always")
        looked_at(COUNTS, vi.SharedScaleGaussian())
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: the data are whole numbers and SharedScaleGaussian is a ")
    assert "likelihood=negative_binomial|" in line


def test_a_table_is_trained_from_the_command_line(typed, tmp_path):
    """And its model loads again."""
    x = torch.cat([REALS[:, :1], BITS[:, :1], COUNTS[:, :1], REALS[:, 1:2]], -1).numpy()
    columns = "[gaussian,bernoulli,{option:categorical,num_categories:9},gaussian_shared_scale]"
    arguments = ["likelihood=table", f"likelihood.likelihoods={columns}", "hydra.run.dir=run"]
    arguments += ["callbacks=null", "logger=null"]
    assert typed(*arguments, x=x) == (0, "")
    assert vi.load(tmp_path / "run").sample(3).shape == (3, 4)
