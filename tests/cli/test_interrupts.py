"""A signal before the first step: one line, 130 or 143, and nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vi.cli import interrupts
from vi.errors import Interrupted

ROOT = Path(__file__).parents[2]
WAITING = """
import sys, time
import {module}
def wait(*_, **__):
    print("here", flush=True)
    time.sleep(60)
{module}.{name} = wait
sys.argv = ["train.py", "hydra.run.dir=run"]
from vi.cli.interrupts import in_one_line
with in_one_line():
    from vi.cli.train import main
    main()
"""
IMPORTING = """
import runpy, sys, time
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "{module}":
            print("here", flush=True)
            time.sleep(60)
sys.meta_path.insert(0, Finder())
sys.argv = {arguments}
runpy.{run}
"""
COMMANDS = {  # how a program runs them, and its arguments
    "train.py": (
        f'run_path("{ROOT}/train.py", run_name="__main__")',
        ["train.py", "hydra.run.dir=run"],
    ),
    "vi train": (
        'run_module("vi", run_name="__main__", alter_sys=True)',
        ["vi", "train", "hydra.run.dir=run"],
    ),
}
PLACES = {  # where the process is when the signal comes
    "composing": ("hydra._internal.hydra", "Hydra.compose_config"),
    "loading": ("vi.data.digits", "Digits.load"),
}


def signalled(process, number):
    """(exit code, errors) of a process to which a signal is sent once it says so."""
    for line in process.stdout:
        if line == "here\n":
            break
    time.sleep(0.05)
    process.send_signal(number)
    _, wrong = process.communicate(timeout=60)
    return process.returncode, wrong


def python(*arguments, cwd):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, *arguments], cwd=cwd, env=environment, **pipes)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
@pytest.mark.parametrize("place", ["composing", pytest.param("loading", marks=pytest.mark.slow)])
def test_a_signal_before_the_start_ends_in_one_line(place, number, tmp_path):
    """And leaves no directory. Caught: a trace of KeyboardInterrupt; -15 without a word."""
    module, name = PLACES[place]
    process = python("-c", WAITING.format(module=module, name=name), cwd=tmp_path)
    code, wrong = signalled(process, number)
    ended_in_one_line(code, wrong, number, tmp_path)


def ended_in_one_line(code, wrong, number, folder):
    assert code == 128 + number
    assert wrong == f"error: stopped by {number.name}\n"
    assert list(folder.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
@pytest.mark.parametrize("module", ["hydra", "torch", "torchmetrics", "vi.training.fit"])
def test_a_signal_within_an_import_ends_in_one_line(command, number, module, tmp_path):
    """However slow the start is. Caught: a trace out of an import."""
    run, arguments = COMMANDS[command]
    program = IMPORTING.format(module=module, run=run, arguments=arguments)
    process = python("-c", program, cwd=tmp_path)
    code, wrong = signalled(process, number)
    assert code == 128 + number
    assert wrong == f"error: stopped by {number.name}\n"
    assert list(tmp_path.iterdir()) == []


def test_once_a_run_has_begun_a_signal_is_an_error():
    """Also between the jobs of a sweep. Caught: a SIGTERM that nobody acted upon."""
    with interrupts.in_one_line():
        interrupts.begun()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        interrupts.before_the_start(lambda: pytest.fail("it was taken away"))
        with pytest.raises(Interrupted, match="stopped by SIGTERM") as caught:
            os.kill(os.getpid(), signal.SIGTERM)
        assert caught.value.exit_code == 143


def test_the_handlers_of_others_come_back():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with interrupts.in_one_line():
        assert signal.getsignal(signal.SIGTERM) is not before[1]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
