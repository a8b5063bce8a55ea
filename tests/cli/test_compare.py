"""Comparing finished runs, as a user types it."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.distributions import constraints

from vi.cli import compare, evaluate, train
from vi.cli.comparison import of_methods, of_models
from vi.data.base import Values
from vi.errors import ConfigurationError, DataError
from vi.evaluation.comparable import Subject, is_discrete, require_comparable
from vi.evaluation.paired import Scores
from vi.files.findings import findings
from vi.files.same_data import require_shared_data
from vi.models.ppca import PPCA

OPTIONS = [
    "hidden=[16]",
    "latent_dim=1",
    "trainer.device=cpu",
    "evaluation.num_samples=5",
    "callbacks=null",
    "logger=null",
]
EXACT = ["model=bernoulli_mixture", "model.num_components=1", "trainer.max_epochs=1"]
SAMPLING = "evaluation=importance_sampling"
FEW = [SAMPLING, "evaluation_samples=2000", "limit=100"]


def command(main, arguments, folder):
    """Run a command in a folder, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["train.py"])
        main(arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with pixels that know nothing of each other, and a VAE of another seed."""
    folder = tmp_path_factory.mktemp("user")
    exact = [option for option in OPTIONS if not option.startswith(("hidden", "latent"))]
    command(train.main, [*exact, *EXACT, "hydra.run.dir=a"], folder)
    more = ["trainer.max_epochs=20", "seed=1", "hydra.run.dir=b"]
    command(train.main, [*OPTIONS, *more], folder)
    return folder


@pytest.fixture
def refused(folder, capsys):
    """Run compare, which must end with this exit code; return what it printed."""

    def ended(code, *arguments):
        with pytest.raises(SystemExit) as ended:
            command(compare.main, [*FEW, *arguments], folder)
        assert ended.value.code == code
        said = capsys.readouterr().err
        assert "hint: " in said
        return said

    return ended


def test_the_better_of_two_runs_wins(folder, capsys):
    """Whatever the order, with the same bits for both. Caught: bits of each run's own seed."""
    command(compare.main, ["runs=[a,b]", *FEW], folder)
    said = capsys.readouterr().out
    assert "b is better than a by " in said
    assert "(95 % interval " in said or "is a lower bound)" in said
    assert "100 test data" in said
    assert "several seeds" in said
    found = findings(folder / "comparison")["comparison"]
    apart = found["numbers"]["b - a"]
    means = [found["numbers"][name]["value"] for name in "ba"]
    assert apart["value"] == pytest.approx(means[0] - means[1])
    assert 0 < apart["lower"] < apart["value"]
    assert found["facts"]["data/binarize"] == "dynamic"
    assert (folder / "comparison" / "compare.png").stat().st_size > 1000
    assert "![compare](compare.png)" in (folder / "comparison" / "report.md").read_text()
    arrays = np.load(folder / "comparison" / "comparison.npz")
    assert arrays["a/log_evidence"].mean() == pytest.approx(means[1])
    assert found["numbers"]["a"]["reliability"] == "exact"
    command(compare.main, ["runs=[b,a]", *FEW, "seed=0", "out=again"], folder)
    again = findings(folder / "again")["comparison"]["numbers"]["b - a"]
    assert again["value"] == pytest.approx(apart["value"], rel=1e-6)


def test_what_evaluate_measured_is_read(folder, capsys):
    """It is read if it is the same, and measured again if not. Caught: other bits, another K."""
    by = FEW
    command(evaluate.main, ["run=b", *by], folder)
    path = folder / "b" / "evaluation.npz"
    arrays = dict(np.load(path))
    mark = arrays["log_likelihood"] + 100
    np.savez(path, **arrays | {"log_likelihood": mark})
    command(compare.main, ["runs=[b,a]", *FEW], folder)
    assert "b: read from evaluation.npz" in capsys.readouterr().out
    found = findings(folder / "comparison")["comparison"]["numbers"]["b"]["value"]
    assert found == pytest.approx(mark.mean())
    for other in (["seed=0"], ["limit=99"], ["evaluation_samples=2001"], ["split=val"]):
        command(compare.main, ["runs=[b,a]", *FEW, *other], folder)
        assert "read from" not in capsys.readouterr().out
    path.unlink()


def test_a_lower_bound_wins_by_at_least_so_much(folder, capsys):
    """K = 50 bounds nothing from above."""
    command(compare.main, ["runs=[a,b]", SAMPLING, "evaluation_samples=50"], folder)
    said = capsys.readouterr().out
    assert "b is better than a by at least " in said
    assert "≥" in said
    apart = findings(folder / "comparison")["comparison"]["numbers"]["b - a"]
    assert apart["lower"] > 0
    assert "upper" not in apart


def test_wrong_numbers_of_runs_are_refused(refused):
    assert "either runs or groups" in refused(2, "runs=[]")
    assert "either runs or groups" in refused(2, "runs=[a,b]", "groups=[[a],[b]]")
    assert "nothing to compare" in refused(2, "runs=[a]")
    assert "a is given 2 times" in refused(2, "runs=[a,b,a/model]")
    assert "3, 1 runs" in refused(2, "groups=[[a,b,c],[d]]")
    assert "one datum" in refused(2, "runs=[a,b]", "limit=1")


def test_runs_on_other_data_are_refused(folder, refused, monkeypatch):
    """Before anything is measured or even opened."""
    static = ["data.binarize=static", "hydra.run.dir=static"]
    command(train.main, [*OPTIONS, *static, "trainer.max_epochs=1"], folder)
    monkeypatch.setattr(compare, "open_run", None)
    said = refused(3, "runs=[a,static]")
    assert "a and static have different data: binarize is dynamic and static" in said


@pytest.mark.parametrize("fact", ["name", "binarize", "split", "n_test", "sha256/b", "hidden"])
def test_every_fact_of_the_data_counts(fact):
    """Of any two runs. Caught: only the first fact, or only the second run, looked at."""
    facts = {"data/binarize": "static", "data/n_test": 3, "data/file": "a", "seed": 0}
    same = facts | {"data/file": "b", "seed": 1, "train/steps": 5}
    require_shared_data({"a": facts, "b": same})
    with pytest.raises(DataError, match=f"a and c have different data: {fact.split('_')[0]}"):
        require_shared_data({"a": facts, "b": same, "c": same | {f"data/{fact}": "other"}})


def test_an_unfinished_run_is_refused(folder, refused):
    (folder / "half").mkdir()
    assert "nothing" in refused(4, "runs=[a,nothing]")
    assert "no model in half" in refused(4, "runs=[a,half]")


def test_another_evaluation_is_refused(refused):
    few = ["evaluation.num_samples=2", "evaluation.num_temperatures=2", "limit=2"]
    said = refused(2, "runs=[a,b]", "evaluation=bidirectional_monte_carlo", *few)
    assert "log p(x) of each datum with its error" in said


def test_data_that_differ_are_refused_whatever_the_facts_say():
    """Caught: one datum of many changed, missing entries that differ."""
    x = torch.randn(1500, 4)
    other = x.clone()
    other[1200, 2] += 1e-3
    model = PPCA((4,), latent_dim=2)
    a = Subject("a", model, Values(x))
    require_comparable(a, Subject("b", model, Values(x.double())))
    seen = torch.ones(1500, 4, dtype=torch.bool)
    seen[0, 0] = False
    for split, words in (
        (Values(other), "first at number 1200"),
        (Values(x).with_observed(seen), "first at number 0"),
        (Values(x[:9]), "1500 and 9 data"),
    ):
        with pytest.raises(Exception, match=words):
            require_comparable(a, Subject("b", model, split))


def test_a_mass_is_not_compared_with_a_density(monkeypatch):
    model, other = PPCA((4,), latent_dim=2), PPCA((4,), latent_dim=2)
    head = SimpleNamespace(support=constraints.boolean)
    monkeypatch.setattr(other, "data_head", lambda: head)
    assert is_discrete(other) == (True,)
    split = Values(torch.zeros(3, 4))
    with pytest.raises(ConfigurationError, match="of a density .* and that of b of a mass"):
        require_comparable(Subject("a", model, split), Subject("b", other, split))
    head.support = constraints.cat([constraints.boolean, constraints.real])
    assert is_discrete(other) == (True, False)


def test_several_seeds_make_a_claim_about_methods():
    """And one of each does not. Caught: a method's seeds as models of their own."""
    torch.manual_seed(0)
    common, zeros = 5 * torch.randn(300).double(), torch.zeros(300).double()

    def seed(shift: float) -> Scores:
        own = 0.05 * torch.randn(()).double() + 0.1 * torch.randn(300).double()
        return Scores(common + shift + own, zeros, True)

    groups = {
        f"group {i}": {f"{i}{j}": seed(shift) for j in "abc"} for i, shift in ((1, 0.0), (2, 1.0))
    }
    found = of_methods(groups, 300)
    assert list(found.scores) == ["group 2", "group 1"]
    said = " ".join(found.said)
    assert "group 1: 1a, 1b, 1c" in said
    assert "group 2 is better than group 1 by " in said
    assert "300 test data, 3 and 3 seeds)" in said
    assert "other training seeds" in said


def test_a_ranking_has_the_best_first_and_each_difference_from_it():
    torch.manual_seed(0)
    zeros = torch.zeros(100).double()
    models = {
        name: Scores(shift + 0.1 * torch.randn(100).double(), zeros, True)
        for name, shift in (("worst", -2.0), ("best", 0.0), ("middle", -1.0))
    }
    found = of_models(models, 100)
    assert list(found.scores) == ["best", "middle", "worst"]
    assert [line.split()[0] for line in found.table()[1:]] == ["best", "middle", "worst"]
    assert found.from_best["worst"].value == pytest.approx(2, abs=0.1)
    assert len(found.numbers()) == 6
    assert "(exact)" in found.table()[1]
