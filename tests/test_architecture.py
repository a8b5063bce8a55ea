"""The floors of the house, read from the imports with ``ast``; nothing is imported."""

import ast
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "vi"
FLOORS = {
    "distributions": 0,
    "networks": 0,
    "covariances": 0,  # parts of exact models, as networks are of others
    "initializations": 0,
    "data": 0,
    "posteriors": 1,
    "priors": 1,
    "likelihoods": 1,
    "refinement": 1,  # steps on any objective
    "inference": 1.5,
    "models": 2,
    "bounds": 3,
    "diagnostics": 3,
    "optimizers": 3,
    "fast": 3.5,  # what computes faster, which schemes and evaluations open
    "config": 3,  # options by name
    "files": 3.5,
    "schemes": 4,
    "evaluation": 4,
    "figures": 4,
    "diagnoses": 4.5,  # what evaluations and figures say together
    "training": 5,
    "testing": 5.5,  # laws, for tests of plugins and our own
    "auditing": 5.7,  # laws of one trained model
    "cli": 6,
}
# What a floor sees of the floors below it, where that is not everything.
SEES = {
    1: {0},
    1.5: {0, 1},
    2: {0, 1, 1.5},
    3: {0, 1.5, 2},
    3.5: {0, 2, 3},
    4: {0, 1, 1.5, 2, 3, 3.5},
}
GROUND = {
    "math",
    "errors",
    "options",
    "lazy",
    "cache",
    "inputs",
    "support",
    "progress",
    "evaluations",
    "startup",
}  # files beside the folders: below every floor
FILES = sorted(PACKAGE.rglob("*.py"))


def modules_of(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module)
            assert node.level == 0, f"{path}: relative import"
    return found


def folder_of(path: Path) -> str:
    """The floor's folder that a file of the package lies in, '' for a file beside them."""
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


def violations(folder: str, modules: set[str]) -> list[str]:
    """What a file in this folder may not import."""
    if not folder:
        return []
    floor, wrong = FLOORS[folder], []
    for module in modules:
        parts = module.split(".")
        if parts[0] == "vi" and len(parts) > 1 and parts[1] not in {*GROUND, folder}:
            below = FLOORS[parts[1]]
            if below >= floor or below not in SEES.get(floor, {below}):
                wrong.append(module)
        if parts[0] == "lightning" and floor < 5:
            wrong.append(module)
        if parts[0] in {"hydra", "omegaconf"} and floor < 6:
            wrong.append(module)
        if parts[0] == "zuko" and folder != "distributions":
            wrong.append(module)
    return wrong


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_file_imports_only_from_lower_floors(path):
    assert violations(folder_of(path), modules_of(path)) == []


@pytest.mark.parametrize(
    ("folder", "module"),
    [
        ("bounds", "lightning.pytorch"),
        ("models", "vi.bounds.elbo"),
        ("posteriors", "vi.priors.standard_normal"),
        ("training", "hydra"),
        ("bounds", "vi.posteriors.diagonal_gaussian"),
        ("evaluation", "vi.schemes.base"),
    ],
)
def test_the_check_sees_a_wrong_import(folder, module):
    assert violations(folder, {module}) == [module]


def test_a_bound_sees_only_the_role_of_a_model():
    seen = {m for p in (PACKAGE / "bounds").glob("*.py") for m in modules_of(p)}
    assert {m for m in seen if m.startswith("vi.models")} == {"vi.models.base"}


def test_one_name_is_the_door_to_all_that_exists_for_speed():
    """Caught: a setting of a kernel imported where a model is trained."""
    found = set()
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            module = getattr(node, "module", None) or ""
            if isinstance(node, ast.ImportFrom) and folder_of(path) != "fast":
                names = {f"{module}.{alias.name}" for alias in node.names}
                found |= {name for name in names if name.startswith("vi.fast")}
            if isinstance(node, ast.Import) and folder_of(path) != "fast":
                found |= {a.name for a in node.names if a.name.startswith("vi.fast")}
    assert found == {"vi.fast.session"}


def test_nobody_asks_what_a_model_happens_to_have():
    """What only some models know, all can be asked for, and the others say that they do not."""
    found = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            if called and node.func.id in {"getattr", "hasattr", "isinstance"}:
                asked = ast.unparse(node.args[0]).split(".")[-1]
                if asked == "model" and folder_of(path) != "models":
                    found.append(f"{path}:{node.lineno}")
    assert found == []


def test_no_folder_is_crowded():
    """At most 20 files beside ``__init__``, apart from the two folders of many siblings."""
    folders = {path.parent for path in FILES}
    counts = {f.name: len(list(f.glob("*.py"))) for f in folders}
    crowded = {name for name, n in counts.items() if n > 21}  # with __init__
    assert crowded == {"distributions", "data"}


def test_every_folder_has_a_floor():
    folders = {p.name for p in PACKAGE.iterdir() if (p / "__init__.py").exists()}
    assert folders <= FLOORS.keys()


def test_no_file_is_long():
    """One idea, one file."""
    lengths = {p: len(p.read_text(encoding="utf-8").splitlines()) for p in FILES}
    assert {p.name: n for p, n in lengths.items() if n > 300} == {}


def test_configurations_are_short():
    """The median file has at most ten lines."""
    lengths = sorted(
        len(p.read_text(encoding="utf-8").splitlines()) for p in (ROOT / "configs").rglob("*.yaml")
    )
    assert lengths[len(lengths) // 2] <= 10


def test_every_yaml_is_yaml():
    for path in (ROOT / "configs").rglob("*.yaml"):
        assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict), path
