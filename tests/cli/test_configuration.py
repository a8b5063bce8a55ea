"""A command line is right, or it exits with 2, says what is wrong, and makes nothing."""

import os
import subprocess
import sys
from itertools import zip_longest
from pathlib import Path

import pytest

from tests.support.parts import part_with
from vi.cli.composing.compose import composed
from vi.cli.composing.sweeps import jobs
from vi.cli.train import main
from vi.config.build import build
from vi.config.registry import config_dir, options, resolve, role_of, target_of
from vi.config.run import SETS, SUGGESTED, Run
from vi.errors import ConfigurationError
from vi.likelihoods import bernoulli

ROOT = Path(__file__).parent.parent.parent
GROUPS = sorted(p.name for p in config_dir().iterdir() if p.is_dir() and p.name not in {"hydra"})
PARTS = [g for g in GROUPS if g not in {*SETS, "experiment", "debug"}]
OPTIONS = [(group, option) for group in PARTS for option in options(group)]
NESTED = {  # in what
    "activation": ("encoder", "mlp"),
    "flow": ("posterior", "flow"),
    "normalization": ("decoder", "residual"),
    "temperatures": ("evaluation", "annealed_importance_sampling"),
}
REQUIRED = {  # by what
    "csv": "data.path=x",
    "npz": "data.path=x",
    "image_folder": "data.path=x",
    "table": "likelihood.likelihoods=[bernoulli]",
}
OVERRIDDEN = ("data", "model", "trainer", "evaluation", "schedule")  # made of other yamls too


def _rows(*groups):
    """The i-th option of each of these groups."""
    columns = [[(group, option) for option in options(group)] for group in groups]
    return [[o for o in row if o] for row in zip_longest(*columns)]


# A composition takes a quarter of a second, so that options which do not meet share one.
_OF_INFERENCE = ("inference", "initialization", "trainer")  # encoder and posterior may be idle
_OF_COMMANDS = ("statistic",)  # in parts of other commands than train
_KNOWN = {"data", "model", *_OF_INFERENCE, *_OF_COMMANDS, *NESTED}
_OTHERS = [g for g in PARTS if g not in _KNOWN]
ROWS = [*_rows("data", "model"), *_rows(*_OF_INFERENCE), *_rows(*_OTHERS), *_rows(*NESTED)]


def run(*arguments, cwd, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=lambda x: x)
def test_every_option_names_a_class_of_its_role(group, option):
    cls = resolve(target_of(group, option), group)
    assert issubclass(cls, role_of(group))
    assert cls.__doc__


@pytest.mark.filterwarnings("ignore:.* is an older name:FutureWarning")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: "-".join(option for _, option in row))
def test_every_option_composes(row):
    """Every yaml passes the schema of its class; required values are given."""
    chosen = []
    for group, option in row:
        whole, its_option = NESTED.get(group, (group, option))
        chosen += [f"{whole}={its_option}", *[REQUIRED[o] for o in (option,) if o in REQUIRED]]
        chosen += [f"{group}@{whole}.{group}={option}"] if group in NESTED else []
    plain = composed("train", chosen, Run)
    for group, option in row:
        node = plain[NESTED[group][0]][group] if group in NESTED else plain[group]
        assert node["_target_"] == target_of(group, option)
        if group not in OVERRIDDEN and option not in REQUIRED:
            suggested = {name: plain[name] for name in SUGGESTED}
            assert part_with(suggested, group, option) == node


def test_every_option_is_composed_once():
    expected = [option for option in OPTIONS if option[0] not in _OF_COMMANDS]
    assert sorted(option for row in ROWS for option in row) == sorted(expected)


@pytest.mark.parametrize("name", [p.stem for p in (config_dir() / "experiment").glob("*.yaml")])
def test_every_experiment_composes(name):
    composed("train", [f"experiment={name}"], Run)


FAULTS = [
    ("trainer.max_epochs=abc", "trainer.max_epochs must be an integer, got 'abc'", "for example"),
    ("bound.num_sample=5", "unknown option bound.num_sample", "did you mean bound.num_samples?"),
    ("+bound.num_sample=5", "unknown option bound.num_sample", "did you mean bound.num_samples?"),
    ("posterior=diagonal_gausian", "unknown option posterior=", "did you mean diagonal_gaussian?"),
    ("posteror=flow", "unknown option posteror", "did you mean posterior?"),
    ("trainer.max_epoch=3", "unknown option trainer.max_epoch", "trainer.max_epochs"),
    ("latent_dims=3", "unknown option latent_dims", "did you mean latent_dim?"),
    ("+anything=1", "unknown option anything", "known here"),
    ("seed=1.5", "seed must be an integer, got 1.5", "for example"),
    ("hidden=[a]", "hidden must be a list", "for example"),
    ("data.binarize=dynamical", "data.binarize must be 'dynamic' or 'static' or 'none'", ""),
    ("data=csv", "data.path is required", "data.path=..."),
    ("optimizer.lr=fast", "optimizer.lr must be", "for example"),
    ("encoder.hidden=null", "encoder.hidden must be a list", ""),
    ("trainer.device=tpu", "trainer.device must be 'auto' or 'cpu'", ""),
    ("callbacks.early_stopping.patiense=3", "patiense", "callbacks.early_stopping.patience"),
    ("seed", "", ""),
]


@pytest.mark.parametrize(("override", "message", "hint"), FAULTS, ids=lambda x: str(x)[:30])
def test_a_fault_is_named_with_what_to_do(override, message, hint):
    with pytest.raises(ConfigurationError) as caught:
        composed("train", [override], Run)
    assert message in str(caught.value)
    assert hint in caught.value.hint
    assert "\n" not in str(caught.value)
    assert "append" not in caught.value.hint  # Hydra's own hint would silence the typo


HOSTILE = [
    "os.system",
    "torch.nn.init.torch.load",
    "torch.utils.collect_env.run",
    "torch.load",
    "subprocess.Popen",
    "builtins.eval",
    "vi.files.model_files.load",
    "vi.cli.train.shutil.rmtree",
    "torch.nn.Linear",
    "vi.bounds.elbo.ELBO",
    "torch.optim.Adam",
    "",
    "nothing",
]


@pytest.mark.parametrize("target", HOSTILE)
def test_only_classes_of_the_role_may_be_named(target, tmp_path):
    marker = tmp_path / "marker"
    node = {"_target_": target, "command": f"touch {marker}", "f": str(marker)}
    with pytest.raises(ConfigurationError, match="refused"):
        build("likelihood", node)
    assert not marker.exists()


def test_a_local_yaml_with_a_hostile_target_runs_nothing(tmp_path):
    (tmp_path / "likelihood").mkdir()
    for name in ("os.system", "torch.utils.collect_env.run"):
        (tmp_path / "likelihood" / "mine.yaml").write_text(
            f"_target_: {name}\ncommand: touch {tmp_path / 'marker'}\n"
        )
        search = f"hydra.searchpath=[file://{tmp_path}]"
        with pytest.raises(ConfigurationError, match="refused"):
            composed("train", [search, "likelihood=mine"], Run)
    assert not (tmp_path / "marker").exists()


def test_a_fault_exits_with_2_and_makes_no_directory(tmp_path):
    done = run(str(ROOT / "train.py"), "-m", "seed=1,2", "bound.num_sample=5", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: unknown option bound.num_sample",
        "hint: did you mean bound.num_samples?",
    ]
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_one_bad_job_of_a_sweep_stops_it_before_the_first(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["-m", "latent_dim=2,x"])
    assert ended.value.code == 2
    assert "latent_dim must be an integer, got 'x'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_sweep_has_one_directory_with_a_run_for_each_job(tmp_path):
    """Caught: a directory named by what Hydra only knows within a job."""
    options = ["latent_dim=2,3", "trainer.max_epochs=1"]
    done = run(str(ROOT / "train.py"), "-m", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (sweep,) = (tmp_path / "outputs" / "digits").iterdir()
    assert sorted(p.name for p in sweep.iterdir() if p.is_dir()) == ["0", "1"]
    assert all((sweep / job / "metrics.json").is_file() for job in "01")


def test_missing_data_say_where_to_put_them(tmp_path, monkeypatch, capsys):
    """Nothing half-made is left behind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    with pytest.raises(SystemExit) as ended:
        main(["data=static_mnist", f"data.dir={tmp_path / 'nowhere'}"])
    assert ended.value.code == 3
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ")
    assert hint.startswith("hint: ")
    assert "binarized_mnist" in hint
    assert list(tmp_path.iterdir()) == []


def test_help_starts_with_five_copyable_commands(tmp_path):
    done = run(str(ROOT / "train.py"), "--help", cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert all(line.startswith("python -m vi train") for line in lines[:5])
    assert not lines[5].startswith("python")
    for line in lines[:5]:
        words = line.partition("#")[0].split()[4:]
        jobs = [w.split(",")[0] for w in words if w != "-m"]
        composed("train", jobs, Run)


def test_the_package_imports_quickly(tmp_path):
    """`import vi` and `python -m vi --help` import neither torch nor Lightning."""
    code = "import sys, vi; print('torch' in sys.modules, 'lightning' in sys.modules)"
    assert run("-c", code, cwd=tmp_path).stdout.split() == ["False", "False"]
    done = run("-X", "importtime", "-m", "vi", "--help", cwd=tmp_path)
    assert "train" in done.stdout
    assert "torch" not in done.stderr


def test_an_unknown_command_is_an_error(tmp_path):
    done = run("-m", "vi", "trian", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: unknown command trian\nhint: one of ")


def test_a_class_from_elsewhere_is_refused_wherever_it_can_be_found(monkeypatch):
    """Its path is allowed and so is its role; its own module is not.

    Caught: a check of the dotted path alone.
    """
    foreign = type("Foreign", (bernoulli.Bernoulli,), {"__module__": "somewhere.else"})
    monkeypatch.setattr(bernoulli, "Foreign", foreign, raising=False)
    with pytest.raises(ConfigurationError, match="refused"):
        resolve("vi.likelihoods.bernoulli.Foreign", "likelihood")
    assert resolve("vi.likelihoods.bernoulli.Foreign", "likelihood", ["somewhere"]) is foreign


@pytest.mark.parametrize(
    "text",
    [
        "hydra: {callbacks: {x: {_target_: torch.utils.collect_env.run, command: touch MARKER}}}",
        "hydra: {launcher: {_target_: torch.utils.collect_env.run, command: touch MARKER}}",
    ],
)
def test_hydra_itself_is_given_no_foreign_class(tmp_path, text):
    """Caught: a local yaml whose hydra.callbacks ran a command while we looked elsewhere."""
    (tmp_path / "experiment").mkdir()
    marker = tmp_path / "marker"
    text = f"# @package _global_\n{text.replace('MARKER', str(marker))}\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(text)
    with pytest.raises(ConfigurationError):
        composed("train", [f"hydra.searchpath=[file://{tmp_path}]", "experiment=mine"], Run)
    assert not marker.exists()


def test_sweeps_are_split_as_hydra_splits_them():
    assert jobs(["seed=1,2", "bound=elbo"]) == [["seed=1", "bound=elbo"], ["seed=2", "bound=elbo"]]
    named = [[f"bound={name}"] for name in options("bound") if name.startswith("elbo_")]
    assert sorted(jobs(["bound=glob(elbo_*)"])) == sorted(named)
    with pytest.raises(ConfigurationError):
        jobs(["hidden=[1"])


def test_a_hint_is_taken_from_the_options_that_were_chosen():
    """Caught: the names of the default bound, offered for another."""
    with pytest.raises(ConfigurationError) as caught:
        composed("train", ["bound=beta", "bound.betta=2"], Run)
    assert caught.value.hint == "did you mean bound.beta?"


def test_a_bound_within_a_bound_can_be_chosen():
    """Caught: a nested bound that was no choice of its group."""
    node = composed("train", ["bound=beta", "bound@bound.bound=iwae"], Run)["bound"]
    assert node["bound"]["_target_"] == "vi.bounds.iwae.IWAE"


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        (["model=ladder", "posterior=flow"], "posterior=flow has no effect: Ladder takes no"),
        (["model=gmm", "encoder=conv"], "encoder=conv has no effect: GMM takes no"),
    ],
)
def test_a_part_that_the_model_has_no_place_for_is_refused(chosen, told):
    """Caught: a run with another posterior than the one asked for."""
    with pytest.raises(ConfigurationError, match=told) as caught:
        composed("train", chosen, Run)
    assert "model=vae" in caught.value.hint


@pytest.mark.parametrize("latent_dim", [1, 5])
def test_a_chain_goes_with_other_parts_of_its_latent_dim(latent_dim):
    """Caught: two layers of latent_dim each, which nothing else on the command line fits."""
    for chosen in (
        ["posterior=chain"],
        ["prior=chain"],
        ["posterior=chain", "prior=gaussian_mixture"],
    ):
        plain = composed("train", [*chosen, f"latent_dim={latent_dim}"], Run)
        parts = {k: v for k, v in plain.items() if isinstance(v, dict) and "_target_" in v}
        facts = {"data_shape": (6,), "context_dim": 0}
        model = build("model", plain["model"], defaults={**parts, **facts})
        assert model.prior().event_shape == (latent_dim,)
