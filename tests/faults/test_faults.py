"""The deliberate faults can all be made, and all of them are noticed."""

import ast
import subprocess
import sys
from functools import cache

import pytest

from tests.faults.run import ROOT, faults

FAULTS = {fault.name: fault for fault in faults()}


@cache
def _tests_of(file: str) -> set[str]:
    """The names of the tests of a file."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_can_be_made(name):
    """Its text stands in the source once, the new one is Python, and its test is there."""
    fault = FAULTS[name]
    source = (ROOT / fault.file).read_text(encoding="utf-8")
    assert source.count(fault.old) == 1
    assert ast.dump(ast.parse(source.replace(fault.old, fault.new))) != ast.dump(ast.parse(source))
    file, _, test = fault.test.partition("::")
    assert test.partition("[")[0] in _tests_of(file)


def test_every_floor_has_its_faults():
    """At least thirty, in all of these."""
    floors = {fault.file.split("/")[1] for fault in FAULTS.values()}
    wanted = {"bounds", "distributions", "likelihoods", "models", "schemes", "evaluation"}
    assert wanted <= floors
    assert len(FAULTS) >= 30


@pytest.mark.slow
def test_every_fault_is_noticed_by_its_test():
    """Each by the one that it names, which passes without it."""
    command = [sys.executable, "-m", "tests.faults.run"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
