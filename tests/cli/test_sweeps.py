"""Every job of a sweep is checked before the first, and runs whatever becomes of the others."""

import pytest
from omegaconf import OmegaConf

from tests.cli.test_commands import command
from vi.cli import train
from vi.cli.composing.sweeps import jobs
from vi.errors import ConfigurationError, DataError, Interrupted


class Training:
    """Stands for ``train``'s work: fails for some seeds, and remembers all of them."""

    def __init__(self, errors):
        self.errors, self.seeds = errors, []

    def __call__(self, config, folder):
        """See ``vi.cli.train._job``."""
        plain = OmegaConf.to_container(config)
        self.seeds.append(plain["seed"])
        if plain["seed"] in self.errors:
            raise self.errors[plain["seed"]]
        return {"test/bound": -float(plain["seed"])}


@pytest.fixture
def sweep(tmp_path, monkeypatch, capsys):
    """A sweep with that work: (seeds that ran, exit code, printed, errors)."""

    def swept(errors, *chosen):
        training = Training(errors)
        monkeypatch.setattr(train, "_job", training)
        with pytest.raises(SystemExit) as ended:
            command(train.main, ["-m", "hydra.sweep.dir=swept", *chosen], tmp_path)
        return (training.seeds, ended.value.code, *capsys.readouterr())

    return swept


def test_the_jobs_after_a_failed_one_run(sweep):
    """Then comes a table, and the exit code of the first failure."""
    errors = {
        1: DataError("no such file", hint="look"),
        2: ConfigurationError("too wide", hint="less"),
    }
    seeds, code, said, wrong = sweep(errors, "seed=1,2,3", "latent_dim=2")
    assert seeds == [1, 2, 3]
    assert code == 3
    assert wrong.count("error: ") == wrong.count("hint: ") == 2
    title, *rows = said.strip().splitlines()
    assert title == "sweep    swept: 1 of 3 jobs finished"
    assert [row.split() for row in rows] == [
        ["0", "exit", "3", "seed=1", "latent_dim=2", "no", "such", "file"],
        ["1", "exit", "2", "seed=2", "latent_dim=2", "too", "wide"],
        ["2", "ok", "seed=3", "latent_dim=2", "test/bound", "-3.000"],
    ]


def test_a_fault_of_ours_is_shown_and_the_others_run(sweep):
    seeds, code, said, wrong = sweep({1: TypeError("a fault")}, "seed=1,2")
    assert (seeds, code) == ([1, 2], 1)
    assert "Traceback" in wrong
    assert "TypeError: a fault" in said


def test_who_stops_a_job_stops_the_sweep(sweep):
    stop = Interrupted("stopped by SIGTERM after step 3", hint="go on", exit_code=143)
    seeds, code, said, _ = sweep({2: stop}, "seed=1,2,3")
    assert (seeds, code) == ([1, 2], 143)
    assert "1 of 2 jobs finished" in said


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        (["seed=1,2", "hydra.sweep.subdir=x"], "jobs 0 and 1 would write to the same swept/x"),
        (
            ["seed=1,2", "hydra.sweep.dir='swept/${now:%f}'", "hydra.sweep.subdir=x"],
            "jobs 0 and 1 would write to the same swept/",
        ),
        (["seed=1,1", "hydra.sweep.subdir='${seed}'"], "would write to the same swept/1"),
        (["seed=1,x"], "seed must be an integer, got 'x'"),
        (["seed=interval(1,2)"], "BasicSweeper does not support sweep type : INTERVAL_SWEEP"),
        (["seed=range(1,1000000000000)"], "the sweep has 999999999999 jobs"),
        (["seed=range(0,101)", "latent_dim=range(1,101)"], "the sweep has 10100 jobs"),
        (["seed=1,2", "trainer.devices=2"], "the jobs of a sweep run in one process each"),
        (["bound=iwae,null"], "unknown option bound=null"),
        (["logger=csv,null"], "a group is null, which a sweep cannot choose"),
        (["hydra.sweeper.max_batch_size=0", "seed=1,2"], "max_batch_size=0 runs no job"),
        (["hydra/sweeper=nope", "seed=1,2"], "unknown option hydra/sweeper=nope"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused_before_the_first_job(sweep, chosen, told, tmp_path):
    seeds, code, _, wrong = sweep({}, *chosen)
    assert (seeds, code) == ([], 2)
    assert told in wrong
    assert len(wrong.splitlines()) == 2


def test_what_a_yaml_gives_the_sweeper_is_checked_too(sweep, tmp_path):
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\nhydra: {sweeper: {params: {bound: 'elbo,nope'}}}\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(text)
    search = f"hydra.searchpath=[file://{tmp_path}]"
    seeds, code, _, wrong = sweep({}, "seed=1", search, "experiment=mine")
    assert (seeds, code) == ([], 2)
    assert "unknown option bound=nope" in wrong


def test_directories_by_what_differs_are_welcome(sweep):
    chosen = ["seed=1,2", "hydra.sweep.subdir='${hydra.job.override_dirname}'"]
    seeds, code, said, wrong = sweep({}, *chosen)
    assert (seeds, code, wrong) == ([1, 2], 0, "")
    assert "2 of 2 jobs finished" in said


def test_the_mode_may_be_an_option(tmp_path, monkeypatch):
    training = Training({})
    monkeypatch.setattr(train, "_job", training)
    with pytest.raises(SystemExit):
        command(train.main, ["hydra.mode=MULTIRUN", "seed=1,2"], tmp_path)
    assert training.seeds == [1, 2]


def test_ranges_and_globs_are_counted_without_being_made():
    assert len(jobs(["seed=range(0,10,3)", "latent_dim=1,2"])) == 8
    assert len(jobs(["optimizer.lr=range(0,1,0.25)"])) == 4
    with pytest.raises(ConfigurationError, match="100000000000 jobs"):
        jobs(["seed=range(0,100000,0.000001)"])
