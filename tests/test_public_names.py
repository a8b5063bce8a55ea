"""What editors, type checkers and users see of the package: its public names, and no others."""

import copy
import inspect
import pickle
import pydoc
import re
import statistics
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import vi
from tests.support import stubs
from vi import lazy
from vi.config.registry import options, target_of
from vi.config.run import ROLES, SETS
from vi.lazy import public_names

ROOT = Path(__file__).parent.parent
PRESETS = {  # options that are a class with values of their own, or say it in other words
    "bound": {"elbo_layers": "LayeredELBO", "elbo_layers_warm_up": "Beta"},
    "covariance": {"tied": "Full"},
    "data": {name: "DensityBinary" for name in options("data")},
    "likelihood": {"categorical_pixels": "Categorical"},
    "model": {"kmeans": "GMM"},
    "normalization": {"none": "NoNormalization"},
    "trainer": {name: "TrainerSettings" for name in options("trainer")},
}


@pytest.mark.parametrize("package", stubs.PACKAGES)
def test_the_stub_names_what_is_public(package):
    """Caught: an option without a line there, so that no editor completes it."""
    written = stubs.path(package).read_text(encoding="utf-8")
    assert written == stubs.stub(package), "python -m tests.support.stubs"


@pytest.mark.parametrize("package", stubs.PACKAGES)
def test_every_public_name_is_there(package):
    module = sys.modules[package]
    assert public_names(package).keys() <= set(dir(module))
    for name, where in public_names(package).items():
        assert getattr(module, name) is getattr(sys.modules[where], name)
    assert not hasattr(module, "Anything")
    assert (vi.errors.DataError, vi.data.csv.CSV) == (vi.DataError, vi.data.CSV)  # pyright: ignore
    assert not hasattr(module, "_private")


def test_every_class_that_an_option_names_is_public():
    """By that alone: of a new option nothing is listed anywhere."""
    public = {**public_names("vi"), **public_names("vi.data")}
    for group in ROLES.keys() - SETS:
        for name, path in options(group).items():
            module, _, cls = target_of(group, name).rpartition(".")
            if module.startswith("vi.") and "an older name" not in path.read_text():
                assert public[cls] == module


def test_two_public_classes_of_one_name_are_refused():
    """Caught: the first of them taken, and the other hidden."""
    one, other = ("Batch", "vi.data.base"), ("Batch", "vi.schemes.base")
    assert lazy.one_of_each([one, one]) == dict([one])
    with pytest.raises(ImportError, match="called Batch: one of vi.data.base, one of vi.schemes"):
        lazy.one_of_each([one, other])


def test_other_names_warn_and_tell_their_module():
    with pytest.warns(
        DeprecationWarning, match="vi.OnVectors is deprecated: .* from vi.networks.eve"
    ):
        assert vi.OnVectors.__module__ == "vi.networks.events"  # pyright: ignore
    with pytest.warns(
        DeprecationWarning, match="vi.Digits is deprecated: import it from vi.data$"
    ):
        assert vi.Digits is vi.data.Digits  # pyright: ignore
    modules = "from vi.distributions.columns or vi.evaluation.columns"
    with pytest.warns(DeprecationWarning, match=f"vi.Columns is deprecated: import it {modules}"):
        assert vi.Columns.__module__ == "vi.distributions.columns"  # pyright: ignore


@pytest.mark.parametrize("group", sorted(ROLES.keys() - SETS))
def test_an_option_is_called_like_its_class(group):
    """The words of the option are in the name of the class; else it is in PRESETS."""
    for option, path in options(group).items():
        target = target_of(group, option)
        if target.startswith("vi.") and "an older name" not in path.read_text(encoding="utf-8"):
            name = target.rpartition(".")[2]
            like = all(word in name.lower() for word in option.split("_"))
            assert like or PRESETS.get(group, {}).get(option) == name, (option, name)


def test_signatures_are_those_of_the_classes():
    """Caught: (*args, **kwargs), and what is handed on left out."""
    assert list(inspect.signature(vi.VAE).parameters)[:2] == ["data_shape", "encoder"]
    assert "gradient_clip_norm" in inspect.signature(vi.Alternating).parameters
    assert " VAE(data_shape: " in pydoc.plain(pydoc.render_doc(vi.VAE))
    assert "model" in inspect.signature(vi.ELBO()).parameters
    assert "renamed" not in inspect.signature(vi.data.Digits).parameters


def test_parts_can_be_copied_and_pickled():
    """With what they were made of. Caught: an object that has to be made by its arguments."""
    for part in (vi.IWAE(3), vi.MLP([5]), vi.DiagonalGaussian(2), vi.data.Digits("none")):
        for other in (copy.copy(part), copy.deepcopy(part), pickle.loads(pickle.dumps(part))):  # noqa: S301
            assert type(other) is type(part)
            assert other.arguments == part.arguments


def test_nothing_heavy_is_imported_before_it_is_used():
    """In under 0.3 s, the median of five. Caught: torch, which takes two seconds."""
    program = (
        "import sys, time; t = time.perf_counter(); import vi; t = time.perf_counter() - t; "
        "dir(vi); print(t, 'torch' in sys.modules)"
    )
    lines = [_run(program).split() for _ in range(5)]
    assert {heavy for _, heavy in lines} == {"False"}
    assert statistics.median(float(seconds) for seconds, _ in lines) < 0.3


def _run(program):
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


@pytest.fixture
def script():
    """Code that an editor has open, and where its cursor stands: at its end."""
    jedi = pytest.importorskip("jedi")
    project = jedi.Project(ROOT, smart_sys_path=False, sys_path=[str(ROOT), *sys.path])

    def opened(code):
        lines = f"import vi\n{code}".splitlines()
        return jedi.Script("\n".join(lines), project=project), len(lines), len(lines[-1])

    return opened


def _completed(opened):
    found, *cursor = opened
    return {name.name for name in found.complete(*cursor)}


def test_an_editor_completes(script):
    """Caught: submodules alone, as where names are made when they are asked for."""
    assert {"VAE", "ELBO", "fit", "load", "Points", "DataError", "data"} <= _completed(
        script("vi.")
    )
    assert {"MNIST", "Digits", "CSV", "LoadedData"} <= _completed(script("vi.data."))
    assert {"metrics", "model", "run_dir"} <= _completed(script("vi.fit(model, data)."))
    assert {"value", "surrogate", "terms"} <= _completed(script("vi.ELBO()(model, x)."))


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("VAE", ["data_shape", "encoder", "decoder", "posterior", "prior", "likelihood"]),
        ("IWAE", ["num_samples"]),
        ("Joint", ["optimizer", "schedule", "gradient_clip_norm"]),
        ("data.Digits", ["binarize", "context", "hidden_fraction"]),
        ("fit", ["model", "data", "bound", "scheme", "epochs"]),
        ("log_likelihood", ["model", "x"]),
        ("load", ["source"]),
    ],
)
def test_an_editor_shows_the_arguments(script, call, arguments):
    """Caught: those of a function around the constructor."""
    found, *cursor = script(f"vi.{call}(")
    (signature,) = found.get_signatures(*cursor)
    assert [p.name for p in signature.params][: len(arguments)] == arguments


TYPES = {
    "vi.ELBO()(model, x).value": "Tensor",
    "vi.Beta(vi.IWAE(5), beta=2.0)(model, x)": "Estimate",
    "vi.DiagonalGaussian(2)(x)": "Distribution",
    "vi.StandardNormal(2)()": "Distribution",
    "model.posterior(x)": "Distribution",
    "model.inference(model, x)": "Distribution",
    "vi.load('run')": "LatentVariableModel",
    "vi.fit(model, vi.data.MNIST())": "FitResult",
    "vi.fit(model, vi.data.MNIST()).model": "LatentVariableModel",
    "vi.log_likelihood(model, x).value": "Tensor",
}


@pytest.mark.slow
def test_a_type_checker_knows_the_types_and_the_arguments(tmp_path):
    """Pyright, of a program of a user. Caught: Any of all."""
    pytest.importorskip("pyright")
    program = """
        import torch
        import vi

        x, model = torch.zeros(5, 3), vi.load("run")
    """
    lines = [*textwrap.dedent(program).splitlines(), *(f"reveal_type({code})" for code in TYPES)]
    wrong = ["vi.VAE((3,), encode=vi.MLP([5]))", "vi.ELBO(num_sample=3)", "vi.Digits", "vi.VEA"]
    (tmp_path / "program.py").write_text("\n".join([*lines, *wrong]))
    (tmp_path / "pyrightconfig.json").write_text(f'{{"extraPaths": ["{ROOT}"]}}')
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "program.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.findall(r'Type of ".*" is "(.*)"', done.stdout) == list(TYPES.values()), done.stdout
    for told in ('named "encode"', 'named "num_sample"', '"Digits" is not', '"VEA" is not'):
        assert told in done.stdout
    assert "4 errors, 0 warnings" in done.stdout


def test_the_package_says_that_it_has_types():
    assert (ROOT / "vi" / "py.typed").is_file()
