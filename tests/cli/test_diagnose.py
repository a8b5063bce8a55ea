"""``python -m vi diagnose``: what a user types, and what is beside the run then."""

import json
import sys

import pytest

from tests.cli.test_commands import UNSEEN, command
from vi.cli import diagnose, train

FAST = [
    "diagnostics.calibration.num_simulations=100",
    "diagnostics.predictive_checks.num_replicates=99",
    "diagnostics.predictive_checks.max_data=50",
    "diagnostics.linear_probe.max_data=100",
]
TITLES = ["use of z", "calibration of q", "predictive checks", "linear probe"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which a model was trained for two epochs."""
    folder = tmp_path_factory.mktemp("user")
    options = ["trainer.max_epochs=2", "hidden=[16]", "latent_dim=2", "evaluation_samples=10"]
    command(train.main, [*options, *UNSEEN, "data.binarize=static", "hydra.run.dir=run"], folder)
    return folder


def found(folder):
    return json.loads((folder / "run" / "evaluation.json").read_text())


def test_everything_lands_beside_the_run(folder, capsys):
    """Numbers, sentences and pictures, in evaluation.json and report.md."""
    command(diagnose.main, ["run=run", *FAST], folder)
    told = capsys.readouterr().out
    assert set(found(folder)) == {f"{title} on test" for title in TITLES}
    report = (folder / "run" / "report.md").read_text()
    for title, one in found(folder).items():
        assert one["said"]
        assert one["facts"]["split"] == "test"
        assert one["facts"]["data/name"] == "digits"
        assert all(sentence in told and sentence in report for sentence in one["said"])
        assert f"## {title}" in report
        for name in one["pictures"]:
            assert (folder / "run" / name).stat().st_size > 1000
            assert f"({name})" in report
    pictures = [one["pictures"] for one in found(folder).values()]
    assert pictures == [["latent_use.png"], ["calibration.png"], ["predictive_checks.png"], []]


def test_some_are_chosen_and_repeated_to_the_last_digit(folder, capsys):
    """Of the same seed. Caught: noise that goes on from one diagnostic to the next."""
    command(diagnose.main, ["run=run", *FAST], folder)
    before = found(folder)
    capsys.readouterr()
    command(diagnose.main, ["run=run", "diagnostics=calibration", FAST[0]], folder)
    assert [line for line in capsys.readouterr().out.splitlines() if line in TITLES] == [TITLES[1]]
    assert found(folder) == before
    command(diagnose.main, ["run=run", "diagnostics=[latent_use,linear_probe]", FAST[-1]], folder)
    assert found(folder) == before


def test_another_folder_leaves_the_run_as_it_is(folder):
    command(diagnose.main, ["run=run", "diagnostics=latent_use"], folder)
    before = found(folder)
    chosen = ["run=run", "diagnostics=latent_use", "split=val", "seed=5", "out=other"]
    command(diagnose.main, chosen, folder)
    assert found(folder) == before
    assert list(json.loads((folder / "other" / "diagnose.json").read_text())) == [
        "use of z on val"
    ]
    assert (folder / "other" / "latent_use.png").stat().st_size > 1000


def test_what_is_not_defined_is_said_and_the_rest_measured(tmp_path, capsys):
    """Data without labels have no probe. Caught: the first refusal ends the command."""
    options = ["data=linear_gaussian", "model=ppca", "scheme=exact_em", "evaluation_samples=10"]
    command(train.main, [*options, *UNSEEN, "hydra.run.dir=run"], tmp_path)
    command(
        diagnose.main, ["run=run", "diagnostics=[linear_probe,calibration]", FAST[0]], tmp_path
    )
    told = capsys.readouterr().out
    assert "linear probe\n  not measured: the data have no labels" in told
    assert "q(z|x) is the exact posterior of this model" in told
    assert list(found(tmp_path)) == ["calibration of q on test"]
    with pytest.raises(SystemExit) as ended:
        command(diagnose.main, ["run=run", "diagnostics=linear_probe"], tmp_path)
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("chosen", "code", "told"),
    [
        (["diagnostics=nonsense"], 2, "unknown option diagnostics=nonsense"),
        (["diagnostics=null"], 2, "no diagnostic is chosen"),
        (["diagnostics.latent_use.most=3"], 2, "unknown option diagnostics.latent_use.most"),
        (["diagnostics.latent_use.max_data=1"], 2, "max_data must be greater than 1"),
        (["diagnostics.calibration.num_draws=100"], 2, "num_draws=100 draws have 101 ranks"),
        (["diagnostics.predictive_checks.statistics=[mode]"], 2, "unknown option statistic=mode"),
        (["split=all"], 2, "split must be"),
        (["run=nowhere"], 4, "nowhere"),
    ],
)
def test_bad_input_is_a_sentence_and_a_code(folder, chosen, code, told, capsys):
    with pytest.raises(SystemExit) as ended:
        command(diagnose.main, ["run=run", *chosen], folder)
    assert ended.value.code == code
    first, hint = capsys.readouterr().err.strip().splitlines()
    assert told in first
    assert hint.startswith("hint: ")


def test_no_validation_data_is_a_sentence(tmp_path, capsys):
    options = ["data=linear_gaussian", "model=ppca", "scheme=exact_em", "evaluation_samples=10"]
    none = "data.n_val=0"
    command(train.main, [*options, none, *UNSEEN, "hydra.run.dir=run"], tmp_path)
    with pytest.raises(SystemExit) as ended:
        command(diagnose.main, ["run=run", "split=val"], tmp_path)
    assert ended.value.code == 2
    assert "no validation data" in capsys.readouterr().err


PLUGIN = '''
from vi.diagnoses.base import Diagnosis, Diagnostic


class Counting(Diagnostic):
    """Counts the data."""

    def __init__(self, unit: str = "data") -> None:
        self.unit = unit

    def examine(self, subject):
        """Count them."""
        return Diagnosis("counting", said=[f"{len(subject.rows)} {self.unit}"])
'''


def test_a_new_diagnostic_is_a_class_and_a_yaml(folder, tmp_path, monkeypatch, capsys):
    """Of a plugin, chosen by name. Caught: a table of diagnostics anywhere."""
    package = tmp_path / "my_counting"
    (package / "configs" / "diagnostics").mkdir(parents=True)
    (package / "__init__.py").write_text(PLUGIN)
    (package / "configs" / "diagnostics" / "counting.yaml").write_text(
        "counting:\n  _target_: my_counting.Counting\n  unit: data\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    chosen = ["plugins=[my_counting]", "diagnostics=counting", "diagnostics.counting.unit=digits"]
    command(diagnose.main, ["run=run", *chosen], folder)
    assert "counting\n  200 digits" in capsys.readouterr().out
    assert "counting on test" in found(folder)
    sys.modules.pop("my_counting")
