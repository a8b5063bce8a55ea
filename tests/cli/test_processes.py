"""Two processes and the command line: a run goes on, and an error of either is told."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from vi.cli.composing.run_options import continued, write

ROOT = Path(__file__).parents[2]
SECONDS = 300  # after which two processes are waiting for each other
SMALL = [
    "trainer.devices=2",
    "trainer.device=cpu",
    "trainer.max_epochs=1",
    "hidden=[4]",
    "latent_dim=2",
    "evaluation.num_samples=2",
    "logger=null",
    "~callbacks.pictures",
    "~callbacks.latent_diagnostics",
    "hydra.run.dir='a run'",
]


def started(code, *arguments, cwd):
    """A process with code that runs before the command line."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    (cwd / "run.py").write_text(f"{code}\nfrom vi.cli.train import main\nmain()\n")
    command = [sys.executable, "-W", "ignore", "run.py", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=cwd, env=environment, start_new_session=True, **pipes)


def ended(process):
    """(exit code, printed, errors)."""
    try:
        said, wrong = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # and the process that it has started
        raise
    return process.returncode, said, wrong


@pytest.mark.slow
def test_a_run_of_two_processes_goes_on(tmp_path):
    """Caught: a ~option of the run that its second process took away twice; 137, no word."""
    code, said, wrong = ended(started("", *SMALL, cwd=tmp_path))
    assert (code, wrong) == (0, "")
    last = "ckpt_path='a run/checkpoints/last.ckpt'"
    code, said, wrong = ended(started("", last, "trainer.max_epochs=2", cwd=tmp_path))
    assert (code, wrong) == (0, "")
    assert "epoch 2/2" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a run", "run.py"]


IN_THE_SECOND = """
import os
if os.environ.get("LOCAL_RANK") == "1":
    {}
"""
FAILS = {
    "import vi.data.digits as d\n    from vi.errors import DataError\n"
    "    def load(*a): raise DataError('only here', hint='look')\n    d.Digits.load = load": (
        3,
        "error in process 1: only here\nhint: look\n",
    ),
    "import vi.training.module as m\n    from vi.errors import CheckpointError\n"
    "    def fail(*a): raise CheckpointError('after the meeting', hint='look')\n"
    "    m.TrainingModule.validation_step = fail": (
        4,
        "error in process 1: after the meeting\nhint: look\n",
    ),
    "os.kill(os.getpid(), 9)": (137, "error: process 1 was ended by SIGKILL\nhint: the memory"),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAILS, ids=["error", "while_training", "killed"])
def test_an_error_of_the_second_process_is_told_and_ends_the_first(fault, tmp_path):
    """Caught: 137 without a word, after five seconds or never."""
    code, told = FAILS[fault]
    process = started(IN_THE_SECOND.format(fault), *SMALL, cwd=tmp_path)
    got, _, wrong = ended(process)
    assert got == code
    assert told in wrong


TOLD = """
import os, signal
from vi.bounds.elbo import ELBO
def told(self, step):
    if step == 3 and os.environ.get("LOCAL_RANK", "0") == "{rank}":
        os.kill(os.getpid(), signal.SIGTERM)
ELBO.at_step = told
"""


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_to_one_process_stops_both_at_one_step(rank, tmp_path):
    """Caught: one that stopped at once, and another that waited for its gradient for ever."""
    code, _, wrong = ended(started(TOLD.format(rank=rank), *SMALL, cwd=tmp_path))
    assert code == 143
    assert "stopped by SIGTERM after step" in wrong
    assert "resume with: python -m vi train" in wrong
    assert (tmp_path / "a run" / "checkpoints" / "last.ckpt").is_file()


def test_options_may_be_read_while_they_are_written(tmp_path):
    """By the second process, which finds the old ones or the new ones, and the same command."""
    typed = ["trainer.max_epochs=3", "~callbacks.pictures"]
    write(tmp_path, ["seed=1", "~callbacks.pictures"], [])
    whole = continued(typed, tmp_path)
    over = threading.Event()

    def writes():
        while not over.is_set():
            write(tmp_path, [option for option in whole if "hydra" not in option], [])

    thread = threading.Thread(target=writes)
    thread.start()
    until = time.monotonic() + 0.3
    while time.monotonic() < until:
        assert continued(typed, tmp_path) == whole
    over.set()
    thread.join()
