"""The seconds of a start are those of its parts, each counted once."""

import subprocess
import sys

import pytest

import vi
from tests.support.tiny import D, vae
from vi import startup
from vi.data.base import LoadedData, Values
from vi.startup import Startup
from vi.training import module
from vi.training.results import result as fitting


@pytest.fixture
def clock(monkeypatch):
    """Moves on when it is told."""
    now = [100.0]
    monkeypatch.setattr(startup.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(startup, "_age_of_process", lambda: 2.0)

    def wait(seconds):
        now[0] += seconds

    return wait


def test_a_part_within_a_part_counts_for_itself_alone(clock):
    """What is in no part counts for all of it. Caught: imports counted as configuration too."""
    one = Startup()
    one.begin()
    with one.part("configuration"):
        clock(1.0)
        with one.part("imports"):
            clock(10.0)
        clock(0.5)
    clock(0.25)
    with one.part("data"):
        clock(4.0)
    one.first_step()
    clock(1000.0)
    one.first_step()
    with one.part("imports"):
        clock(1000.0)
    assert one.facts() == {
        "startup/imports_s": 12.0,
        "startup/configuration_s": 1.5,
        "startup/data_s": 4.0,
        "startup/first_step_s": 17.75,
    }
    assert one.facts() == {}  # of the second job of a sweep


def test_what_is_called_from_a_program_has_no_start(clock):
    """Caught: the hours of a notebook."""
    one = Startup()
    one.first_step()
    assert one.facts() == {}


def test_a_run_that_failed_leaves_no_start_behind(clock):
    """Caught: the first step of another run in this process, minutes later."""
    one = Startup()
    with pytest.raises(ValueError, match="no"), one.of_one_run():
        raise ValueError("no")
    clock(1000.0)
    one.first_step()
    assert one.facts() == {}


def test_a_run_tells_its_start(tmp_path, monkeypatch):
    own = Startup()
    for place in (module, fitting):
        monkeypatch.setattr(place, "startup", own)
    own.begin()
    x = Values(bits := vae().sample(20))
    options = {"callbacks": [], "loggers": [], "progress_bar": False, "device": "cpu"}
    data = LoadedData(x, None, Values(bits[:5]), (D,))
    metrics = vi.fit(vae(), data, epochs=1, run_dir=tmp_path, **options).metrics
    parts = [metrics[f"startup/{part}_s"] for part in ("imports", "configuration", "data")]
    assert 0 < sum(parts) < metrics["startup/first_step_s"]


def test_the_age_of_a_process_is_that_of_its_first_line():
    """Within a second, in a process that waits for two."""
    program = "import time; time.sleep(2); from vi.startup import _age_of_process as age"
    done = subprocess.check_output([sys.executable, "-c", f"{program}; print(age())"])
    if not sys.platform.startswith("linux"):
        assert float(done) == 0.0
    else:
        assert float(done) > 2.0
