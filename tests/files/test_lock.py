"""One writer in a run directory at a time."""

import json
import os
import subprocess
import sys

import pytest
from lightning.pytorch.utilities import rank_zero_only

from tests.support.runs import Calls, fit, rows
from vi.errors import ConfigurationError, RunDirectoryError
from vi.files.lock import NAME, locked, require_free
from vi.training.rank import is_alone_or_first


def held_by(folder, **changes):
    """A lock as this process would write it, but for some changes."""
    with locked(folder):
        holder = json.loads((folder / NAME).read_text())
    (folder / NAME).write_text(json.dumps(holder | changes))


def test_a_lock_tells_host_process_and_start(tmp_path):
    with locked(tmp_path):
        holder = json.loads((tmp_path / NAME).read_text())
        assert holder["pid"] == os.getpid()
        assert holder.keys() == {"host", "pid", "start"}
        with locked(tmp_path):  # it may ask again
            pass
        assert (tmp_path / NAME).exists()
    assert list(tmp_path.iterdir()) == []


def test_a_second_writer_is_refused(tmp_path):
    """Caught: both exit 0, and write over each other."""
    child = os.fork()
    if child == 0:
        os.execvp("sleep", ["sleep", "60"])
    try:
        start = _start(child)
        held_by(tmp_path, pid=child, start=start)
        with pytest.raises(RunDirectoryError, match=f"in use by pid {child}$"):
            fit(tmp_path)
        with pytest.raises(RunDirectoryError, match=f"in use by pid {child}$"):
            require_free(tmp_path)
        assert json.loads((tmp_path / NAME).read_text())["pid"] == child
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
    with locked(tmp_path):  # it is no more
        assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()


def _start(pid):
    from vi.files import lock

    return lock._start(pid)


def test_a_process_that_ended_and_was_not_fetched_holds_nothing(tmp_path):
    """Caught: a zombie taken for a writer."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    held_by(tmp_path, pid=child, start=_start(child) or "before")
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    with locked(tmp_path):
        pass
    os.waitpid(child, 0)


def test_another_process_under_the_same_number_holds_nothing(tmp_path):
    """Caught: the number alone compared."""
    held_by(tmp_path, pid=os.getppid(), start="an earlier one")
    with locked(tmp_path):
        pass


def test_another_machine_is_named_and_not_guessed_about(tmp_path):
    """Caught: taken over because no process of that number is here."""
    held_by(tmp_path, pid=4_000_000, host="elsewhere")
    told = "in use by pid 4000000 on the machine elsewhere"
    with pytest.raises(RunDirectoryError, match=told) as error, locked(tmp_path):
        pass
    assert f"remove {tmp_path / NAME}" in error.value.hint


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"pid": "a"}'])
def test_a_damaged_lock_is_told(tmp_path, text):
    (tmp_path / NAME).write_text(text)
    with pytest.raises(RunDirectoryError, match="is damaged"), locked(tmp_path):
        pass


def test_other_processes_of_a_run_take_none(tmp_path):
    held_by_other = tmp_path / NAME
    held_by_other.write_text("theirs")
    with locked(tmp_path, first=False):
        assert held_by_other.read_text() == "theirs"


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK"])
def test_the_number_that_a_launcher_gives_is_a_rank_only_of_several(name, monkeypatch):
    """Caught: independent runs of one job array, of which all but one take no lock."""
    monkeypatch.setenv(name, "3")
    assert is_alone_or_first(devices=1)
    assert not is_alone_or_first(devices=2)


def test_a_run_alone_writes_and_locks_whatever_number_it_has(tmp_path, monkeypatch):
    """Caught: curves that Lightning keeps to itself, and two writers in one directory."""
    monkeypatch.setenv("SLURM_PROCID", "3")
    monkeypatch.setattr(rank_zero_only, "rank", 3)  # as Lightning reads it when it is imported
    seen = Calls("on_train_start", 0, lambda: held.append((tmp_path / NAME).exists()))
    held = []
    fit(tmp_path, callbacks=[seen], loggers=None)
    assert held == [True]
    assert rows(tmp_path)
    assert list(tmp_path.glob("events.*"))
    assert rank_zero_only.rank == 3


def test_a_plugin_that_is_not_there_is_refused_before_anything_is_made(tmp_path):
    """From Python as from the command line. Caught: a warning, and a run without model/."""
    with pytest.raises(ConfigurationError, match="plugin no_such cannot be imported") as refused:
        fit(tmp_path / "run", plugins=["no_such"])
    assert refused.value.hint
    assert not (tmp_path / "run").exists()


def test_a_place_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match="cannot write to"), locked(tmp_path / "file"):
        pass


def test_what_was_made_for_nothing_is_taken_away(tmp_path):
    with locked(tmp_path / "run"):
        assert (tmp_path / "run" / NAME).exists()
    assert not (tmp_path / "run").exists()


def test_a_lock_costs_no_import_of_torch():
    """It comes before the heavy imports. Caught: an import at the top of the module."""
    check = "import sys, vi.files.lock; assert not {'torch', 'lightning'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)
