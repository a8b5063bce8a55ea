"""From a wheel, in an empty folder: new, install, test, train, evaluate, sample, as printed."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from vi.cli.new import KINDS

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent.parent
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
QUICK = ["max_epochs=1", "trainer.device=cpu"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """An empty folder of a user, and the site that vi is installed in."""
    site, folder = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("user")
    wheels = tmp_path_factory.mktemp("wheels")
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", wheels, ROOT]
    subprocess.run([*PIP, *build], check=True, cwd=folder)
    (wheel,) = wheels.glob("*.whl")
    installed(site, wheel)
    return site, folder


def installed(site, what):
    options = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--upgrade"]
    subprocess.run([*PIP, *options, "--target", site, what], check=True, cwd=site)


def told(place, words):
    """What a command prints."""
    site, folder = place
    ours = {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, env=os.environ | ours)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def printed(text):
    """The commands in it."""
    lines = [line for line in text.splitlines() if " -m " in line and line.startswith("  ")]
    return [shlex.split(line) for line in lines]


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_of_ones_own_goes_the_whole_way(place, kind):
    """Every command as the one before it printed it, but for the place that pip installs to."""
    site, folder = place
    name = f"my_{kind}"
    words = printed(told(place, [sys.executable, "-m", "vi", "new", kind, name]))
    assert words[0][1:] == ["-m", "pip", "install", "-e", name]
    installed(site, folder / name)
    assert "passed" in told(place, [*words[1], "-p", "no:cacheprovider"])
    few = [] if kind == "evaluation" else ["evaluation_samples=5"]  # it has no place for them
    said = told(place, [*words[2], *QUICK, *few, f"hydra.run.dir=run_{kind}"])
    commands = {words[3]: words for words in printed(said) if words[2] == "vi"}
    assert commands.keys() == {"evaluate", "sample"}
    few = ["evaluation=importance_sampling", "evaluation_samples=5"]
    assert "test/elbo" in told(place, [*commands["evaluate"], *few])
    assert "samples.npz" in told(place, commands["sample"])


def test_the_package_that_ran_is_the_wheel(place):
    site, _ = place
    where = told(place, [sys.executable, "-c", "import vi; print(vi.__file__)"])
    assert Path(where.strip()).is_relative_to(site)
