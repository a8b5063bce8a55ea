"""Every notebook is in step with its script, runs from start to end, and keeps its pictures.

``python tests/test_notebooks.py`` executes the scripts ``notebooks/*.py`` and writes the paired
``.ipynb`` files, without anything that would differ from one run or machine to the next.
"""

import hashlib
import os
import re
from pathlib import Path

import jupytext
import nbformat
import pytest
import zmq
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "notebooks").glob("*.py"))
PICTURE = "plt.show()"
MACHINE_PATH = re.compile(r"/(home|root|work|tmp|Users|usr|opt|mnt)/|site-packages|[A-Z]:\\")


def execute(script: Path) -> NotebookNode:
    """The notebook of a script with the outputs of a fresh kernel, in this repository."""
    notebook = jupytext.read(script)
    client = NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        resources={"metadata": {"path": str(script.parent)}},
        record_timing=False,
    )
    # without keys the kernel warns on the terminal that other users of the machine could listen
    client.create_kernel_manager().transport_encryption = (
        "auto" if zmq.has("curve") else "disabled"
    )
    client.execute(env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})
    return notebook


def write(script: Path) -> None:
    """Execute a script and write the .ipynb beside it."""
    notebook = execute(script)
    notebook.metadata.pop("language_info", None)  # has the version of the interpreter
    for i, cell in enumerate(notebook.cells):
        cell.id = hashlib.sha256(f"{i}{cell.source}".encode()).hexdigest()[:8]
    nbformat.write(notebook, script.with_suffix(".ipynb"))


def pictures(notebook: NotebookNode) -> dict[str, int]:
    """How many images stand below each cell that shows one, by the source of the cell."""
    return {
        cell.source: sum("image/png" in output.get("data", {}) for output in cell.outputs)
        for cell in notebook.cells
        if cell.cell_type == "code" and PICTURE in cell.source
    }


def texts(notebook: NotebookNode) -> list[str]:
    """Everything a reader can read: sources and outputs, without the bytes of the images."""
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    shown = [v for o in outputs for k, v in o.get("data", {}).items() if k.startswith("text/")]
    return [c.source for c in notebook.cells] + [o.get("text", "") for o in outputs] + shown


@pytest.fixture(params=SCRIPTS, ids=lambda script: script.stem)
def script(request):
    return request.param


@pytest.fixture
def committed(script):
    return nbformat.read(script.with_suffix(".ipynb"), as_version=4)


def test_there_is_a_notebook():
    assert SCRIPTS


def test_the_pair_is_in_step(script, committed):
    """After editing a script: ``python tests/test_notebooks.py``."""
    written = [(c.cell_type, c.source) for c in jupytext.read(script).cells]
    assert [(c.cell_type, c.source) for c in committed.cells] == written


@pytest.mark.slow
def test_it_runs_from_start_to_end(script):
    """A cell that raises, an assertion in it included, ends the execution with its traceback."""
    shown = pictures(execute(script))
    assert shown
    assert set(shown.values()) == {1}


def test_the_committed_outputs_are_whole(committed):
    nbformat.validate(committed)
    outputs = [o for c in committed.cells for o in c.get("outputs", [])]
    assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]
    code = [c for c in committed.cells if c.cell_type == "code"]
    assert [c.execution_count for c in code] == list(range(1, len(code) + 1))
    assert set(pictures(committed).values()) == {1}


def test_the_committed_notebook_is_the_same_on_every_machine(committed):
    assert not [t for t in texts(committed) if MACHINE_PATH.search(t)]
    assert committed.metadata.kernelspec.name == "python3"
    assert "language_info" not in committed.metadata
    assert not [c for c in committed.cells if "execution" in c.metadata]


if __name__ == "__main__":
    for path in SCRIPTS:
        write(path)
