"""A bar with the time that is left: where somebody sees it, and without touching a number."""

import io
import re
import subprocess
import sys
import types

import pytest
import torch

import vi
from tests.cli.test_commands import UNSEEN, command
from tests.support.tiny import D, vae
from vi.cli import encode, evaluate, impute, train
from vi.data.base import LoadedData, Values
from vi.evaluation.inference_gaps import InferenceGaps
from vi.evaluation.over_split import evaluate as measure
from vi.progress import watched, watching
from vi.training import measured, progress_bar

CONTROL = re.compile(r"\x1b\[[?\d;]*[a-zA-Z]")


class Terminal(io.StringIO):
    """Takes what is drawn within its block; pytest replaces what a fixture puts there."""

    def __enter__(self):
        self.before, sys.stderr = sys.stderr, self
        return self

    def __exit__(self, *_):
        sys.stderr = self.before

    def isatty(self):
        return True

    def lines(self):
        return [line for line in re.split(r"[\r\n]+", CONTROL.sub("", self.getvalue())) if line]


@pytest.fixture
def terminal(monkeypatch):
    """Of 80 columns; every step is drawn at once."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress_bar, "PATIENCE", 0.0)
    monkeypatch.setattr(progress_bar, "INTERVAL", 0.0)
    return Terminal()


def told_by(function):
    """What is heard while it runs."""
    told = []
    with watching(told.append):
        function()
    return told


def split(n=20):
    return Values(vae().sample(n))


@pytest.mark.parametrize(
    ("work", "steps"),
    [
        (lambda: measure(vae(), split(), vi.ELBO(), vi.ImportanceSampling(5000)), 80),
        (lambda: measure(vae(), split(), vi.ELBO()), 1),
        (lambda: measure(vae(), split(), vi.ELBO(), batch_size=2), 10),
        (
            lambda: measure(vae(), split(), vi.ELBO(), InferenceGaps(vi.AdamAscent(1), 5000)),
            160,
        ),
        (lambda: vi.log_likelihood(vae(), vae().sample(3), 5000), 40),
        (lambda: vi.log_likelihood(vae(), vae().sample(300), 100), 19),
        (
            lambda: vi.impute(vae(), vae().sample(3), 5000, observed=torch.ones(3, D).bool()),
            40,
        ),
    ],
    ids=["batch", "bound", "batches", "gaps", "samples", "data", "imputation"],
)
def test_it_moves_within_a_batch_too(work, steps):
    """By every block of samples, and never back. Caught: one step for all samples of a batch."""
    told = told_by(work)
    assert len(told) >= steps
    assert told == sorted(told)
    assert 0 < told[0] <= 1.01 / min(steps, 20)
    assert told[-1] == pytest.approx(1, abs=1e-12)


def test_the_parts_of_a_step_take_their_share():
    def work():
        for _ in watched(range(2)):
            for _ in watched(range(2), 0.2):
                pass
            for _ in watched("abcd"):
                pass

    told = told_by(work)
    first = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.5]
    assert told == pytest.approx([*first, *(0.5 + share for share in first)])


def test_no_number_changes(terminal):
    def numbers():
        torch.manual_seed(0)
        return measure(vae(), split(), vi.ELBO(), vi.ImportanceSampling(300))

    alone = numbers()
    with terminal, progress_bar.progress_bar("measuring"):
        assert numbers() == alone
    assert terminal.lines()


def test_a_line_fits_eighty_columns_and_tells_the_time_that_is_left(terminal, monkeypatch):
    """After 10 of 40 seconds 30 are left. Caught: the time of the last step, for all."""
    now = [0.0]
    monkeypatch.setattr(progress_bar.time, "monotonic", lambda: now[0])
    with terminal, progress_bar.progress_bar("measuring validation"):
        for _ in watched(range(4)):
            now[0] += 10.0
    lines = terminal.lines()
    assert all(len(line) <= 80 for line in lines)
    quarter = next(line for line in lines if "25%" in line)
    assert "measuring validation" in quarter
    assert quarter.rstrip().endswith("0:00:30 left")
    assert terminal.getvalue().endswith("\x1b[2K")  # nothing of it stays


def test_it_comes_after_two_seconds_and_draws_twice_a_second(monkeypatch):
    now, drawn = [0.0], []
    monkeypatch.setattr(progress_bar.time, "monotonic", lambda: now[0])
    bar = progress_bar._Bar("measuring")
    monkeypatch.setattr(
        progress_bar,
        "_line",
        lambda title: types.SimpleNamespace(
            task_ids=(0,), update=lambda *_, **__: drawn.append(now[0]), stop=lambda: None
        ),
    )
    for tenth in range(40):
        now[0] = tenth / 10
        bar.tell((tenth + 1) / 40)
    assert drawn == [2.0, 2.5, 3.0, 3.5]


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK"])
def test_the_second_process_draws_nothing(name, terminal, monkeypatch):
    monkeypatch.setenv(name, "1")
    with terminal:
        vi.log_likelihood(vae(), vae().sample(3), 500)
    assert terminal.getvalue() == ""


def test_nothing_is_drawn_where_nobody_sees_it(terminal, monkeypatch):
    monkeypatch.setattr(Terminal, "isatty", lambda self: False)
    with terminal:
        vi.log_likelihood(vae(), vae().sample(3), 500)
    assert terminal.getvalue() == ""


def test_a_notebook_has_one(terminal, monkeypatch):
    """Its standard error is no terminal, and understands a carriage return."""
    monkeypatch.setattr(Terminal, "isatty", lambda self: False)
    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    with terminal:
        vi.log_likelihood(vae(), vae().sample(3), 500)
    assert "log p(x)" in terminal.lines()[0]


def test_what_is_printed_meanwhile_goes_where_it_went(terminal, capsys):
    """Caught: a line for a file, on the terminal."""
    with terminal, progress_bar.progress_bar("measuring"):
        for _ in watched(range(3)):
            print("mine")
    assert capsys.readouterr().out == "mine\n" * 3
    assert not any("mine" in line for line in terminal.lines())


def test_an_error_leaves_the_terminal_as_it_was(terminal):
    def work():
        with progress_bar.progress_bar("measuring"):
            next(steps := watched(range(2)))
            next(steps)
            raise ValueError("no")

    with terminal, pytest.raises(ValueError, match="no"):
        work()
    assert terminal.getvalue().endswith("\x1b[2K")
    assert "\x1b[?25h" in terminal.getvalue()  # the cursor is back


def test_what_is_called_from_python_keeps_its_name_and_words():
    assert vi.log_likelihood is measured.log_likelihood
    assert vi.log_likelihood.__doc__.startswith("log (1/K)")
    assert vi.impute.__name__ == "impute"


def test_the_mathematics_imports_no_bar():
    program = (
        "import sys, vi.evaluation.importance_sampling, vi.evaluation.inference_gaps, "
        "vi.evaluation.imputation; print('rich' in sys.modules, 'lightning' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "False False\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bar")
    small = ["hidden=[4]", "latent_dim=2", "trainer.max_steps=2", "evaluation.num_samples=2"]
    options = [*small, *UNSEEN, "trainer.progress_bar=false", "data.hidden_fraction=0.5"]
    command(train.main, [*options, "hydra.run.dir=run"], folder)
    return folder


FEW = ["evaluation=importance_sampling", "evaluation.num_samples=2"]


@pytest.mark.parametrize(
    ("main", "options", "title"),
    [
        (evaluate.main, [*FEW, "limit=20"], "measuring test"),
        (impute.main, ["evaluation.num_samples=2", "limit=20"], "imputing test"),
        (encode.main, [], "encoding test"),
    ],
    ids=["evaluate", "impute", "encode"],
)
def test_a_command_draws_one(main, options, title, folder, terminal):
    with terminal:
        command(main, ["run=run", *options], folder)
    assert terminal.lines()[0].startswith(title)


@pytest.mark.parametrize("shown", [True, False])
def test_what_is_measured_when_training_has_ended_draws_one(shown, terminal, tmp_path):
    """Unless trainer.progress_bar is false."""
    data = LoadedData(split(), split(5), split(5), (D,))
    unseen = {"callbacks": [], "loggers": [], "device": "cpu", "run_dir": tmp_path}
    with terminal:
        vi.fit(vae(), data, epochs=1, progress_bar=shown, **unseen)
    titles = {" ".join(line.split()[:2]) for line in terminal.lines()}
    assert titles == ({"measuring test", "measuring val"} if shown else set())
