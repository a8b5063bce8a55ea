"""``python -m vi new``: every package that it writes obeys its laws, and a wrong one does not."""

import importlib
import inspect
import shlex
import sys
import warnings

import pytest

import vi.testing
from tests.cli.test_commands import command
from vi.cli import evaluate, new, sample, train
from vi.cli.composing.compose import composed
from vi.cli.new import KINDS
from vi.config.run import Run
from vi.errors import ConfigurationError
from vi.training.signals import Signals

FEW = {
    "evaluate": ["evaluation=importance_sampling", "evaluation_samples=5"],
    "sample": [],
}  # after what is printed
# What is wrong, and the law that says so.
FAULTS = {
    "posterior": ("distribution", " - self.scale.log()", "", "density_integrates_to_one"),
    "prior": ("distribution", "torch.pi * self.scale", "self.scale", "draws_have_its_moments"),
    "likelihood": ("distribution", "self.loc + self.scale *", "self.loc + 2 *", "of_its_density"),
    "bound": (
        None,
        "value = log_mean_exp",
        "value = self.alpha + log_mean_exp",
        "exact_posterior",
    ),
    "scheme": (None, "self.descend(loss(estimate)", "self.descend(-loss(estimate)", "raise_the"),
    "inference": (None, "(self.encoder), observed)", "(self.encoder))", "missing"),
    "network": (None, "+ self.out(self.hidden(x).tanh())", "+ x.mean(0).sum()", "seen_alone"),
    "data": (None, "generator=random)\n        return", ")\n        return", "same_every_time"),
    "evaluation": (None, ".flatten(1).square().mean(1)", ".square().mean()", "for_each_datum"),
}


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder of a user, and whatever is installed from it."""
    monkeypatch.chdir(tmp_path)
    before = {*sys.modules}
    yield tmp_path
    for name in {*sys.modules} - before:
        if name.startswith(("my_", "test_my_")):
            del sys.modules[name]


def written(kind, monkeypatch):
    """The package my_<kind>, as if it were installed."""
    name = f"my_{kind}"
    new.new(kind, name)
    monkeypatch.syspath_prepend(name)
    monkeypatch.syspath_prepend(f"{name}/tests")
    return name


def broken(name, tmp_path):
    """What the laws in its test say, by name."""
    module = importlib.import_module(f"test_{name}")
    (cls,) = [c for n, c in vars(module).items() if n.startswith("Test")]
    found = {}
    for number, law in enumerate(n for n in dir(cls) if n.startswith("test_")):
        one = cls()
        one.setup_method()
        given = {"tmp_path": tmp_path / str(number)}
        function = getattr(one, law)
        try:
            function(**{k: given[k] for k in inspect.signature(function).parameters})
        except (AssertionError, RuntimeError) as error:
            found[law] = error
        finally:
            one.teardown_method()
    return found


def test_it_obeys_its_laws_as_it_is_written(kind, folder, monkeypatch):
    """And the configuration with it composes, with its own yaml."""
    name = written(kind, monkeypatch)
    assert broken(name, folder) == {}
    chosen = [f"{group}={name}" for group in KINDS[kind].groups]
    plain = composed("train", [f"plugins=[{name}]", *chosen], Run)
    for group in KINDS[kind].groups:
        assert plain[group]["_target_"].startswith(f"{name}.{name}.")


@pytest.mark.parametrize("wrong", FAULTS)
def test_a_law_names_what_is_wrong(wrong, folder, monkeypatch):
    """A mistake in each template. Caught: laws that pass whatever the class computes."""
    name = written(wrong, monkeypatch)
    file, right, mistake, law = FAULTS[wrong]
    path = folder / name / name / f"{file or name}.py"
    assert right in path.read_text()
    path.write_text(path.read_text().replace(right, mistake))
    laws = broken(name, folder)
    assert any(law in name for name in laws), laws


def test_every_kind_has_laws_and_files():
    assert {told.laws for told in KINDS.values()} == {*vi.testing.__all__}
    assert KINDS.keys() == FAULTS.keys()


REFUSED = {
    ("posterier", "mine"): (2, "unknown kind posterier", "posterior"),
    ("posterior",): (2, "a kind and a name", "my_posterior"),
    ("posterior", "My-Part"): (2, "is not a package name", "new"),
    ("posterior", "class"): (2, "is not a package name", "new"),
    ("posterior", "../mine"): (2, "is not a package name", "new"),
    ("posterior", "laplace"): (2, "vi has the option posterior=laplace", "my_laplace"),
    ("network", "mlp"): (2, "vi has the option encoder=mlp", "my_mlp"),
    ("bound", "numpy"): (2, "a Python package numpy", "my_numpy"),
    ("bound", "there"): (6, "there/ is there already", "another name"),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_written_is_refused(words, folder, capsys):
    """And nothing is made or changed."""
    (folder / "there").mkdir()
    code, message, hint = REFUSED[words]
    with pytest.raises(SystemExit) as ended:
        new.main(words)
    told = capsys.readouterr().err.splitlines()
    assert ended.value.code == code
    assert message in told[0]
    assert hint in told[1]
    assert [p.name for p in folder.rglob("*")] == ["there"]


def test_the_printed_commands_go_on(folder, monkeypatch, capsys):
    """new, train, evaluate, sample: each is typed as the one before it printed.

    Caught: evaluate and sample without plugins=[...], which name no option that they know.
    """
    new.main(["posterior", "my_posterior"])
    said = capsys.readouterr().out.splitlines()
    install, laws, trained = (shlex.split(line) for line in said[-3:])
    assert install[-3:] == ["install", "-e", "my_posterior"]
    assert laws[-2:] == ["pytest", "my_posterior"]
    monkeypatch.syspath_prepend("my_posterior")
    quick = ["max_epochs=1", "evaluation_samples=5", "hidden=[8]", "logger=null", "callbacks=null"]
    with warnings.catch_warnings():
        command(train.main, [*trained[4:], *quick, "trainer.device=cpu", "hydra.run.dir=run"], ".")
        said = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
        commands = [words[words.index("vi") + 1 :] for words in said if words[1:3] == ["-m", "vi"]]
        commands = [words for words in commands if words[0] in ("evaluate", "sample")]
        assert [words[0] for words in commands] == ["evaluate", "sample"]
        for words in commands:
            main = {"evaluate": evaluate.main, "sample": sample.main}[words[0]]
            command(main, [*words[1:], *FEW[words[0]]], ".")
    assert (folder / "run" / "evaluation.json").is_file()
    assert (folder / "run" / "sample" / "samples.npz").is_file()
    _without_the_plugin(capsys)
    command(train.main, ["ckpt_path=run/checkpoints/last.ckpt", "plugins=[my_posterior]"], ".")


def _without_the_plugin(capsys):
    """A run that needs it says which, and what to type."""
    for main, words in ((evaluate.main, ["run=run"]), (sample.main, ["run=run"])):
        with pytest.raises(SystemExit) as ended:
            command(main, words, ".")
        error, hint = capsys.readouterr().err.splitlines()[-2:]
        assert ended.value.code == 2
        assert "needs the plugin package my_posterior" in error
        assert "add plugins=[my_posterior]" in hint
    with pytest.raises(SystemExit):
        command(train.main, ["ckpt_path=run/checkpoints/last.ckpt"], ".")
    assert "'plugins=[my_posterior]'" in capsys.readouterr().err.splitlines()[-1]


def test_a_folder_around_a_package_is_no_plugin(folder):
    """As after ``new`` and without pip install. Caught: unknown option posterior=my_posterior."""
    new.new("posterior", "my_posterior")
    importlib.invalidate_caches()
    sys.path.insert(0, str(folder))
    try:
        with pytest.raises(ConfigurationError, match="my_posterior is not installed") as refused:
            composed("train", ["plugins=[my_posterior]", "posterior=my_posterior"], Run)
    finally:
        sys.path.remove(str(folder))
    assert refused.value.hint == "pip install -e my_posterior"


def test_a_stopped_run_repeats_its_plugins(tmp_path):
    """In the command that goes on with it."""
    signals = Signals()
    signals.last, signals.plugins = tmp_path / "last.ckpt", ["mine", "yours"]
    signals.last.touch()
    words = shlex.split(signals.stopped().hint.partition("resume with: ")[2])
    assert words == [
        "python",
        "-m",
        "vi",
        "train",
        f"ckpt_path={signals.last}",
        "plugins=[mine,yours]",
    ]
