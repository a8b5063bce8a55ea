"""The bar of training: one line of the terminal's width, with the time that is left."""

import io
import re
import sys
import types
import warnings

import pytest

from tests.support.runs import fit
from tests.support.tiny import mixture
from vi.schemes.exact_em import ExactEM
from vi.training.callbacks import progress
from vi.training.callbacks.progress import line

CONTROL = re.compile(r"\x1b\[[?\d;]*[a-zA-Z]")
LARGE = {"train/elbo": -1234567.8, "train/kl": 123456.7, "train/reconstruction": -1111111.1}
USUAL = {"train/elbo": -23.05, "train/kl": 5.23, "train/reconstruction": -17.81}


@pytest.mark.parametrize("width", [30, 60, 79, 200])
@pytest.mark.parametrize("latest", [{}, USUAL, LARGE, LARGE | {"val/elbo": -1e12}])
def test_a_line_is_as_wide_as_it_may_be(width, latest):
    """Caught: 92 characters at 80 columns, which wrapped at every refresh."""
    assert len(line("epoch 3280/3280", 0.5, latest, 360000.0, width)) == width


def test_all_fields_fit_eighty_columns():
    told = line("epoch 300/300", 0.5, USUAL | {"val/elbo": -23.1}, 75.0, 79)
    for part in ("epoch 300/300", "0:01:15 left", "elbo -23.05", "val -23.10", "kl 5.23"):
        assert part in told
    assert "rec -17.81" in told
    assert "-----" in line("epoch 300/300", 0.0, {}, None, 79)


def test_the_time_that_is_left_is_told_before_any_term():
    told = line("epoch 3/9", 0.25, LARGE, 75.0, 30)
    assert "0:01:15 left" in told
    assert "rec" not in told


class Screen(io.StringIO):
    """A terminal, or the output of a notebook, in place of standard output."""

    def __init__(self, *, terminal):
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        return self.terminal

    def lines(self):
        text = CONTROL.sub("", self.getvalue())
        return [part for part in re.split(r"[\r\n]+", text) if part.startswith("epoch")]


def trained(screen, folder, monkeypatch, **options):
    """What training shows there; every step is drawn."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "_INTERVAL", 0.0)
    with monkeypatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("error")
        patch.setattr(sys, "stdout", screen)
        fit(folder, progress_bar=True, **options)
    return screen.lines()


@pytest.mark.parametrize("notebook", [False, True])
def test_it_moves_within_eighty_columns(notebook, tmp_path, monkeypatch):
    """In a notebook by carriage returns alone. Caught: a call for ipywidgets, and a block of
    HTML for every refresh.
    """
    if notebook:
        shell = type("ZMQInteractiveShell", (), {})()
        fake = types.SimpleNamespace(get_ipython=lambda: shell)
        monkeypatch.setitem(sys.modules, "IPython", fake)
    lines = trained(Screen(terminal=not notebook), tmp_path, monkeypatch, steps_per_call=1)
    assert len(lines) >= 18
    assert max(map(len, lines)) <= 80
    assert lines[-1].startswith("epoch 3/3 ####")
    assert "0:00:00 left" in lines[-1]
    assert re.search(r"elbo -\d.* val -\d.* kl \d", lines[-1])


def test_elsewhere_it_is_plain(tmp_path, monkeypatch):
    screen = Screen(terminal=False)
    lines = trained(screen, tmp_path, monkeypatch)
    assert 1 <= len(lines) <= 3
    assert lines[-1].startswith("epoch 3/3  elbo -")
    assert "\x1b" not in screen.getvalue()
    assert "\r" not in screen.getvalue()


@pytest.mark.parametrize("limit", [{"max_steps": 4}, {"max_evaluations": 0.7}, {"epochs": 2}])
def test_the_limit_that_comes_first_is_the_end(limit, tmp_path, monkeypatch):
    """Caught: 4 of 18 steps at the end of a run of four."""
    lines = trained(Screen(terminal=True), tmp_path, monkeypatch, **limit)
    assert "0:00:00 left" in lines[-1]


def test_a_resumed_run_counts_from_where_it_goes_on(tmp_path, monkeypatch):
    fit(tmp_path, epochs=2)
    lines = trained(Screen(terminal=True), tmp_path, monkeypatch, epochs=3, goes_on=True)
    assert "epoch 3/3" in lines[-1]
    assert "0:00:00 left" in lines[-1]


def test_exact_em_has_a_bar_too(tmp_path, monkeypatch):
    scheme = ExactEM(tolerance=0)
    lines = trained(Screen(terminal=True), tmp_path, monkeypatch, net=mixture, scheme=scheme)
    assert max(map(len, lines)) <= 80
