"""Whatever comes on the command line: two lines and the right code, or a configuration."""

import os
import random
import re
import shlex
from contextlib import suppress

import pytest

from tests.cli.test_commands import command
from vi.cli import evaluate, plot, sample, train
from vi.cli.composing.compose import composed
from vi.cli.composing.flags import flags_of
from vi.cli.reporting import reporting
from vi.config.registry import groups, options
from vi.config.run import Run
from vi.errors import ConfigurationError, NumericsError

TWO_LINES = re.compile(r"error: .+\nhint: .+\n")


def ends(main, arguments, folder, capsys):
    """(exit code, what was said) of a command that fails, in two lines."""
    with pytest.raises(SystemExit) as ended:
        command(main, arguments, folder)
    told = capsys.readouterr().err
    assert TWO_LINES.fullmatch(told), told
    return ended.value.code, told


# --- what may be null, and what may not ---


@pytest.mark.parametrize(
    ("chosen", "name", "left"),
    [
        ("callbacks=null", "callbacks", set()),
        ("~callbacks", "callbacks", set()),
        ("callbacks=[]", "callbacks", set()),
        ("logger=null", "logger", set()),
        ("~logger", "logger", set()),
        ("logger=[]", "logger", set()),
        ("logger.csv=null", "logger", {"tensorboard"}),
        ("~logger.csv", "logger", {"tensorboard"}),
        (
            "callbacks.early_stopping=null",
            "callbacks",
            {"pictures", "em_ledger", "latent_diagnostics"},
        ),
    ],
)
def test_callbacks_and_loggers_may_be_none(chosen, name, left):
    """Caught: tracebacks, and a null that was built."""
    assert set(composed("train", [chosen], Run)[name]) == left


@pytest.mark.parametrize("chosen", ["experiment=null", "debug=null"])
def test_what_is_null_already_may_be_null(chosen):
    assert composed("train", [chosen], Run) == composed("train", [], Run)


REFUSED = {
    "data=null": "unknown option data=null",
    "trainer=null": "unknown option trainer=null",
    "schedule=null": "unknown option schedule=null",
    "trainer=5": "unknown option trainer=5",
    "~model": "model is missing",
    "~data": "data is missing",
    "~seed": "seed is missing",
    "seed=null": "seed must be an integer, got None",
    "callbacks.x=5": "unknown option callbacks.x",
    "+callbacks.x=5": "callbacks.x must be a part or null, got 5",
    "callbacks.pictures=5": "callbacks.pictures must be a part or null, got 5",
    "=1": "cannot read the option '=1'",
    "optimizer.lr=nan": "optimizer.lr must be a number",
    "optimizer.lr=inf": "optimizer.lr must be a number",
    "evaluation.num_samples=1e9": "evaluation.num_samples must be an integer",
    "plugins=[no_such]": "plugin no_such cannot be imported",
    "+run_dir=null": "unknown option run_dir",
    "+begin=null": "unknown option begin",
    "data=../model/vae": "leads out of the folder of its options",
    "hydra.searchpath=[file:///no/such]": "/no/such is not available",
    "hydra=null": "unknown option hydra=null",
    "hydra.job=null": "hydra.job=null",
    "++hydra={callbacks:{x:{_target_:os.system}}}": "_target_=os.system is refused",
    "hidden=${nope}": "Interpolation key 'nope' not found",
    "hidden=${hidden}": "Recursive interpolation",
    "seed=1,2": "Ambiguous value for argument 'seed=1,2'",
}


@pytest.mark.parametrize(("chosen", "told"), REFUSED.items())
def test_what_cannot_be_is_refused(chosen, told):
    with pytest.raises(ConfigurationError) as caught:
        composed("train", [chosen], Run)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value) + caught.value.hint


def test_a_typo_in_a_nested_group_is_near_a_name():
    """Caught: "known here: nothing"."""
    for typo, meant in (("splin", "spline"), ("couplin", "coupling")):
        with pytest.raises(ConfigurationError, match=f"unknown option flow={typo}") as caught:
            composed("train", ["posterior=flow", f"flow@posterior.flow={typo}"], Run)
        assert caught.value.hint == f"did you mean {meant}?"


# --- flags ---

FLAGS = [
    ["--nope"],
    ["-x"],
    ["--cfg=nope"],
    ["--cfg"],
    ["--config-name=evaluate"],
    ["--config-path=.."],
    ["--config-dir=."],
    ["--experimental-rerun=job.pickle"],
    ["--resolve"],
    ["--package=model"],
    ["--multi"],
    ["-m", "seed=1,2", "--nope"],
    ["-m", "seed=1,2", "--cfg=job"],
    ["-m", "--run"],
    ["--info=nope"],
]


@pytest.mark.parametrize("arguments", FLAGS, ids=" ".join)
def test_flags_that_are_not_known_end_in_two_lines(arguments, tmp_path, capsys):
    """Caught: argparse's usage, tracebacks, a pickle that was loaded."""
    code, told = ends(train.main, arguments, tmp_path, capsys)
    assert code == 2
    assert "usage" not in told


def test_flags_and_options_come_in_any_order():
    flags = flags_of(["seed=1,2", "-m", "latent_dim=3"])
    assert flags.multirun
    assert flags.overrides == ["seed=1,2", "latent_dim=3"]


@pytest.mark.parametrize(
    ("arguments", "begins"),
    [
        (["--help"], "python -m vi train  "),
        (["--cfg", "job", "seed=7"], "seed: 7\n"),
        (["--cfg", "job", "-p", "bound", "bound=iwae"], "# @package bound\n_target_: "),
        (["--cfg", "job", "callbacks=null", "-p", "seed"], "0"),
        (["-sc", "install=bash"], ""),
    ],
)
def test_what_hydra_shows_is_shown(arguments, begins, tmp_path, capsys):
    with suppress(SystemExit):
        command(train.main, arguments, tmp_path)
    assert capsys.readouterr().out.startswith(begins)


@pytest.mark.parametrize("chosen", ["bound=nope", "--package=nope"])
def test_what_cannot_be_shown_ends_in_two_lines(chosen, tmp_path, capsys):
    assert ends(train.main, ["--cfg=job", chosen], tmp_path, capsys)[0] == 2


# --- places ---


def test_a_path_with_blanks_says_how_to_quote_it(tmp_path, capsys):
    """Caught: LexerNoViableAltException. The hint is what works."""
    for main in (evaluate.main, sample.main):
        code, told = ends(main, ["run=it's here"], tmp_path, capsys)
        assert code == 2
        (word,) = shlex.split(told.partition("as well: ")[2])
        assert "no model in it's here" in ends(main, [word], tmp_path, capsys)[1]
    code, told = ends(train.main, ["data.path=my", "file.csv"], tmp_path, capsys)
    assert code == 2
    assert "a text with blanks is quoted twice" in told


@pytest.mark.parametrize("place", ["/dev/null/x", "file", "file/x", "/proc/x"])
def test_a_run_directory_that_cannot_be_made_ends_with_6(place, tmp_path, capsys):
    """Caught: tracebacks."""
    (tmp_path / "file").write_text("mine")
    code, told = ends(train.main, [f"hydra.run.dir={place}"], tmp_path, capsys)
    assert code == 6
    assert place.rpartition("/x")[0] in told
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_that_is_a_file_ends_with_6(tmp_path, capsys):
    """outputs/ for a run, and the directory of a sweep."""
    (tmp_path / "outputs").write_text("mine")
    assert ends(train.main, [], tmp_path, capsys)[0] == 6
    with pytest.raises(SystemExit) as ended:
        command(train.main, ["-m", "seed=1,2"], tmp_path)
    assert ended.value.code == 6


def test_two_places_to_start_from_are_refused(tmp_path, capsys):
    both = ["init_from=a", "ckpt_path=b/checkpoints/last.ckpt"]
    assert ends(train.main, both, tmp_path, capsys)[0] == 2
    several = ["-m", "seed=1,2", "ckpt_path=b/checkpoints/last.ckpt"]
    assert ends(train.main, several, tmp_path, capsys)[0] == 2
    assert ends(train.main, ["-m", "ckpt_path=a,b"], tmp_path, capsys)[0] == 2


@pytest.mark.parametrize(
    "chosen",
    [
        ["bound=beta", "bound.warmup_steps=-1"],
        ["trainer.threads=100000"],
        ["trainer.max_epochs=0"],
        ["evaluation.num_samples=1000000000"],
        ["evaluation=inference_gaps", "evaluation.num_samples=1000000000"],
    ],
)
def test_a_number_that_cannot_be_ends_with_2_and_leaves_nothing(chosen, tmp_path, capsys):
    assert ends(train.main, chosen, tmp_path, capsys)[0] == 2
    assert list(tmp_path.iterdir()) == []


def test_a_plot_of_nothing_is_refused(tmp_path, capsys):
    assert ends(plot.main, ["runs=[]"], tmp_path, capsys)[0] == 2
    assert list(tmp_path.iterdir()) == []


# --- several processes ---


@pytest.mark.parametrize(
    ("rank", "error", "told"),
    [
        ("0", ConfigurationError("wrong", hint="right"), "error: wrong\nhint: right\n"),
        ("1", ConfigurationError("a\nb", hint="c"), "error in process 1: a b\nhint: c\n"),
        ("1", NumericsError("seen by all", hint=""), ""),
        ("1", KeyboardInterrupt(), ""),
    ],
)
def test_each_process_tells_what_only_it_sees(rank, error, told, monkeypatch, capsys):
    """Caught: an error of the second process, which ended the first without a word."""
    monkeypatch.setenv("LOCAL_RANK", rank)
    with pytest.raises(SystemExit), reporting():
        raise error
    assert capsys.readouterr().err == told


# --- a fuzz of the command line ---

NAMES = [
    *(f"{group}{at}" for group in sorted(groups()) for at in ("", "@x", "@bound.bound")),
    *("seed", "hidden", "latent_dim", "plugins", "ckpt_path", "init_from", "standardize"),
    *("trainer.max_epochs", "optimizer.lr", "callbacks.pictures.every_n_epochs", "encoder.hidden"),
    *("bound.num_samples", "data.binarize", "model._target_", "callbacks.x", "a.b.c", "_target_"),
    *("hydra.run.dir", "hydra.sweep.subdir", "hydra.job.name", "hydra.searchpath", "hydra.mode"),
    *("hydra.job.env_set", "hydra.callbacks", "hydra.verbose", "hydra/launcher", "hydra", ""),
    *("seed[0]", "bound..x", ".", "seed.x", "__class__", "hydra.runtime.cwd", "a b", "\u00e9"),
]
VALUES = [
    *(
        "1",
        "-1",
        "0",
        "1e9",
        "nan",
        "inf",
        "true",
        "null",
        "",
        "abc",
        "[]",
        "[1,2]",
        "{}",
        "{a:1}",
    ),
    *("'a b'", '"', "'", "[", "]", "{", "(", "a,b", "1,2", "range(3)", "interval(0,1)", "glob(*)"),
    *("${seed}", "${nope}", "${oc.env:NOPE}", "${hydra:job.num}", "${", "???", "a=b", "a:b", "\\"),
    *("../../x", "/", "file:///", "[file:///no]", "os.system", "{_target_:os.system}", "\x00"),
    *("9" * 30, "[" * 40 + "]" * 40, "a" * 3000, "\u2028", "\ud800", "a\nb", "int(x)", "tag(a,1)"),
    *(option for group in ("bound", "posterior", "model", "data") for option in options(group)),
]
PREFIXES = ["", "", "", "", "+", "++", "~"]


PLAUSIBLE = [
    *("seed=3", "latent_dim=2", "hidden=[4,5]", "~callbacks", "logger=null", "bound=iwae"),
    *("trainer.max_epochs=7", "optimizer=sgd", "callbacks.pictures=null", "optimizer.lr=0.1"),
    *("data=geyser", "hydra.job.name=x", "standardize=true", "++seed=4", "experiment=null"),
]


def hostile(rng):
    """Some options of one command line, right or wrong."""
    wrong = (
        f"{rng.choice(PREFIXES)}{rng.choice(NAMES)}{rng.choice(('=', '=', '=', ''))}"
        f"{rng.choice(VALUES)}"
    )
    right = rng.sample(PLAUSIBLE, rng.randrange(3))
    return right if right and rng.random() < 0.25 else [*right, wrong]


def refusal(chosen):
    """The error of a command line, None if it composes."""
    try:
        composed("train", chosen, Run)
    except ConfigurationError as error:
        return error
    except Exception as error:
        raise AssertionError(chosen) from error
    return None


def fuzz(seed, number):
    """Command lines of which each composes or is refused in one line; and both occur."""
    rng = random.Random(seed)
    lines = [hostile(rng) for _ in range(number)]
    errors = [error for line in lines if (error := refusal(line)) is not None]
    assert all(error.hint and len(str(error)) < 4000 for error in errors)
    assert number // 3 < len(errors) < number
    assert os.listdir() == []


@pytest.mark.filterwarnings("ignore:.* is an older name:FutureWarning")
def test_any_command_line_composes_or_is_refused(tmp_path, monkeypatch):
    """Nothing but errors of vi, and nothing is made. Caught: what Hydra raises by accident."""
    monkeypatch.chdir(tmp_path)
    fuzz(0, 15)


@pytest.mark.filterwarnings("ignore:.* is an older name:FutureWarning")
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 9))
def test_many_command_lines_compose_or_are_refused(seed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fuzz(seed, 100)
