"""``python -m vi rate_distortion``: one command trains, measures and draws."""

import json
import shutil

import pytest
import torch

from tests.cli.test_commands import UNSEEN, command
from vi.cli import rate_distortion, train
from vi.data.base import Values
from vi.diagnoses.rate_distortion import RatePoint, rate_point, verdict
from vi.errors import Interrupted, NumericsError
from vi.files.numbers import Number

QUICK = ["max_epochs=2", "hidden=[16]", "latent_dim=2", "evaluation_samples=10", *UNSEEN]
BETAS = "betas=[0.5,4]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("user")
    command(rate_distortion.main, [BETAS, "dir=rd", *QUICK], folder)
    return folder


def written(folder):
    return json.loads((folder / "rd" / "rate_distortion.json").read_text())


@pytest.fixture
def trained(monkeypatch):
    """The command lines that ``train`` gets, in place of training."""
    given = []
    monkeypatch.setattr(train, "main", given.append)
    return given


def test_one_command_trains_and_draws(folder):
    """Rate, distortion and ELBO of each run, with errors over data, and the sum R + D = -ELBO."""
    for run, one in written(folder)["runs"].items():
        beta = json.loads((folder / run / "model" / "config.json").read_text())["bound"]["beta"]
        assert one["beta"] == beta
        rate, distortion, elbo = (one[name] for name in ("rate", "distortion", "elbo"))
        assert rate["value"] + distortion["value"] == pytest.approx(-elbo["value"], abs=1e-4)
        assert rate["unit"] == "nats per datum"
        assert rate["data_error"] > 0
        metrics = json.loads((folder / run / "metrics.json").read_text())
        assert rate["value"] == pytest.approx(metrics["test/kl"], rel=1e-5)
        findings = json.loads((folder / run / "evaluation.json").read_text())
        assert findings["rate and distortion on test"]["numbers"]["rate"] == rate
    assert list(written(folder)["runs"]) == ["rd/beta_0.5", "rd/beta_4"]
    assert (folder / "rd" / "rate_distortion.png").stat().st_size > 1000


def test_what_ended_is_not_trained_again(folder, trained, capsys):
    command(rate_distortion.main, [BETAS, "dir=rd", *QUICK], folder)
    assert trained == []
    assert capsys.readouterr().out.count("trained already") == 2


def test_what_was_stopped_goes_on(folder, tmp_path, trained):
    """A run with a checkpoint is resumed, one without begins. Caught: both begun anew."""
    shutil.copytree(folder / "rd", tmp_path / "rd")
    (tmp_path / "rd" / "beta_0.5" / "metrics.json").unlink()
    with pytest.raises(SystemExit):  # the new run was not trained, so it cannot be measured
        command(rate_distortion.main, ["betas=[0.5,1]", "dir=rd", *QUICK], tmp_path)
    one, other = trained
    assert one[-1] == "ckpt_path=rd/beta_0.5/checkpoints/last.ckpt"
    assert other[-1] == "hydra.run.dir=rd/beta_1"
    assert other[:-1] == [*QUICK, "bound=beta", "bound.beta=1.0"]


def test_a_resumed_run_ends_as_an_uninterrupted_one(folder, tmp_path):
    """To the last digit. Caught: the first epoch trained twice."""
    begun = [*QUICK, "bound=beta", "bound.beta=0.5", "hydra.run.dir=rd/beta_0.5"]
    command(train.main, ["trainer.max_steps=22", *begun], tmp_path)
    (tmp_path / "rd" / "beta_0.5" / "metrics.json").unlink()
    options = tmp_path / "rd" / "beta_0.5" / "options.json"
    whole = json.loads(options.read_text())
    whole["options"] = [o for o in whole["options"] if o["name"] != "trainer.max_steps"]
    options.write_text(json.dumps(whole))
    command(rate_distortion.main, ["betas=[0.5]", "dir=rd", *QUICK], tmp_path)
    assert written(tmp_path)["runs"]["rd/beta_0.5"] == written(folder)["runs"]["rd/beta_0.5"]


@pytest.mark.parametrize(
    ("error", "code", "number"),
    [
        (NumericsError("nan", hint="less"), 5, 2),
        (Interrupted("stopped", hint="go on", exit_code=143), 143, 1),
    ],
)
def test_a_failed_run_does_not_stop_the_others_and_a_signal_does(
    error, code, number, tmp_path, monkeypatch, capsys
):
    runs = []

    def failing(job):
        runs.append(job)
        raise SystemExit(error.exit_code)

    monkeypatch.setattr(train, "main", failing)
    with pytest.raises(SystemExit) as ended:
        command(rate_distortion.main, [BETAS, "dir=rd", *QUICK], tmp_path)
    assert (ended.value.code, len(runs)) == (code, number)
    assert "to go on, add dir=rd to the same command" in capsys.readouterr().out


def test_finished_runs_are_drawn(folder, tmp_path, trained):
    """Into another folder, one of the ELBO among them, which has beta 1."""
    runs = ",".join(str(folder / "rd" / name) for name in ("beta_4", "beta_0.5"))
    command(rate_distortion.main, [f"runs=[{runs}]", "dir=rd"], tmp_path)
    assert [one["beta"] for one in written(tmp_path)["runs"].values()] == [4, 0.5]
    assert trained == []


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        (["betas=[1,1]"], "betas must be different"),
        (["betas=[]"], "betas must be different"),
        (["betas=[1,-1]"], "betas must be greater than 0"),
        (["betas=x"], "betas must be a list"),
        (["bound=iwae"], "bound=iwae cannot be given here"),
        (["-m"], "-m cannot be given here"),
        (["hydra.run.dir=x"], "hydra.run.dir=x cannot be given here"),
        (["latent_dims=3"], "unknown option latent_dims"),
        (["max_epochs=3", "dir=rd", BETAS], "rd/beta_0.5 is not a run with these options"),
        (["split=all"], "split must be"),
    ],
)
def test_bad_input_is_a_sentence_before_anything_is_trained(folder, chosen, told, trained, capsys):
    with pytest.raises(SystemExit) as ended:
        command(rate_distortion.main, chosen, folder)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err.splitlines()[0]
    assert trained == []


def test_runs_on_different_data_are_refused(folder, tmp_path, capsys):
    options = [*QUICK, "data.binarize=static", "hydra.run.dir=other"]
    command(train.main, options, tmp_path)
    runs = f"runs=[other,{folder / 'rd' / 'beta_4'}]"
    with pytest.raises(SystemExit) as ended:
        command(rate_distortion.main, [runs], tmp_path)
    assert ended.value.code == 3
    assert "data/binarize dynamic and static" in capsys.readouterr().err


def point(label, rate, distortion, error=0.1):
    numbers = Number("rate", rate, data_error=error), Number("distortion", distortion)
    return RatePoint(label, 1.0, *numbers, Number("elbo", -rate - distortion))


def test_the_verdict_names_the_best_and_the_poor():
    """Caught: a point called poor for being elsewhere on the curve, or within its error."""
    said = verdict([point("a", 5.0, 15.0), point("b", 1.0, 22.0), point("c", 5.5, 16.0)])
    assert said[0] == "the ELBO is highest at a: -20.000 nats per datum"
    assert said[1:] == [
        "c has more rate and more distortion than a: another optimum, or training that has not "
        "ended"
    ]
    assert len(verdict([point("a", 5.0, 15.0), point("c", 5.1, 16.0)])) == 1
    assert "z is not used at b" in verdict([point("a", 5.0, 15.0), point("b", 0.01, 22.0)])[1]


def test_bounds_without_a_weight_have_the_name_of_their_run():
    import vi

    model = vi.PPCA((4,), latent_dim=2)
    split = Values(torch.zeros(3, 4))
    found = rate_point(model, split, vi.IWAE(5), 0, "mine")
    assert (found.label, found.beta) == ("mine", None)
    assert rate_point(model, split, vi.ELBO(), 0, "mine").label == "β = 1"
