"""Count how the code is laid out: rooms, sizes, switches by type and doors for speed.

    python benchmarks/structure.py            this checkout
    python benchmarks/structure.py FOLDER     another one, to compare

Everything is read from the source with ``ast``; nothing is imported.
"""

import ast
import statistics
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROLES = {"models": "LatentVariableModel", "schemes": "Scheme", "likelihoods": "Likelihood"}
"""By folder, the role whose subclasses are not to be told apart outside of it."""

OPTIONAL = {
    "discrete",
    "estimated_moments",
    "exposed",
    "inside",
    "likelihood_head",
    "log_scale",
    "piecewise",
    "rsample_and_log_prob",
}
"""Attributes that only some distributions or models have."""


def main(root: Path) -> None:
    """Print the counts of ``root/vi``."""
    package = root / "vi"
    files = {p: p.read_text(encoding="utf-8") for p in sorted(package.rglob("*.py"))}
    trees = {p: ast.parse(text) for p, text in files.items()}
    lengths = {p: len(text.splitlines()) for p, text in files.items()}
    bodies = sorted(n for tree in trees.values() for n in _bodies(tree))
    longest = max(lengths, key=lambda p: lengths[p])
    folders = Counter(str(p.parent.relative_to(package)) for p in files)
    of_lines = Counter(p.relative_to(package).parts[0] for p in files for _ in range(lengths[p]))
    total = sum(lengths.values())

    rows = {
        "modules": len(files),
        "lines": total,
        "largest folder": "{} ({:.0%} of the lines)".format(
            *(lambda top: (top[0], top[1] / total))(of_lines.most_common(1)[0])
        ),
        "median module": statistics.median(lengths.values()),
        "largest module": f"{lengths[longest]} ({longest.relative_to(package)})",
        "function body, median": statistics.median(bodies),
        "function body, 90 %": bodies[len(bodies) * 9 // 10],
        "functions over 30 lines": sum(n > 30 for n in bodies),
        "documentation": f"{sum(map(_documentation, files.values())) / total:.0%}",
        "isinstance of models, schemes, likelihoods": len(list(_told_apart(package, trees))),
        "optional attributes asked for by name": len(list(_asked_for(package, trees))),
        "names of vi.fast imported elsewhere": len(_of_the_fast_path(package, trees)),
    }
    for name, value in rows.items():
        print(f"{name:45} {value}")
    print("\nfiles of each folder")
    for folder, number in folders.most_common():
        print(f"{folder:45} {number}")
    for name, found in (
        ("isinstance", _told_apart(package, trees)),
        ("optional attribute", _asked_for(package, trees)),
        ("vi.fast", sorted(_of_the_fast_path(package, trees))),
    ):
        for where in found:
            print(f"{name}: {where}")


def _bodies(tree: ast.Module) -> Iterator[int]:
    """Lines of every function's body, without its docstring."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        body = node.body[1:] if ast.get_docstring(node) else node.body
        if body:
            yield (body[-1].end_lineno or 0) - body[0].lineno + 1


def _documentation(text: str) -> int:
    """Lines of docstrings and comments."""
    tree = ast.parse(text)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    strings = 0
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node) if isinstance(node, documented) else ():
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                strings += (child.end_lineno or 0) - child.lineno + 1
    return strings + sum(line.lstrip().startswith("#") for line in text.splitlines())


def _subclasses(package: Path, folder: str, role: str) -> set[str]:
    """The role, and the classes of its folder."""
    found = {role}
    for path in (package / folder).glob("*.py"):
        found |= {n.name for n in ast.parse(path.read_text()).body if isinstance(n, ast.ClassDef)}
    return {name for name in found if not name.startswith("_")}


def _told_apart(package: Path, trees: dict[Path, ast.Module]) -> Iterator[str]:
    """Every ``isinstance`` and ``issubclass`` of a role's class outside the role's folder."""
    kinds = {f: _subclasses(package, f, role) for f, role in ROLES.items()}
    for path, tree in trees.items():
        home = path.relative_to(package).parts[0]
        outside = set().union(*(names for folder, names in kinds.items() if folder != home))
        for call in _calls(tree, {"isinstance", "issubclass"}):
            names = {n.id for n in ast.walk(call.args[1]) if isinstance(n, ast.Name)}
            if home != "models" and names & outside:
                yield f"{path.relative_to(package)}:{call.lineno} {ast.unparse(call)}"


def _asked_for(package: Path, trees: dict[Path, ast.Module]) -> Iterator[str]:
    """Every ``getattr`` and ``hasattr`` with the literal name of an optional attribute."""
    for path, tree in trees.items():
        for call in _calls(tree, {"getattr", "hasattr"}):
            name = call.args[1]
            if isinstance(name, ast.Constant) and name.value in OPTIONAL:
                yield f"{path.relative_to(package)}:{call.lineno} {ast.unparse(call)}"


def _calls(tree: ast.Module, names: set[str]) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name), args=[_, _, *_]) if name in names:
                yield node


def _of_the_fast_path(package: Path, trees: dict[Path, ast.Module]) -> set[str]:
    """The names that other folders import from ``vi/fast``."""
    found = set()
    for path, tree in trees.items():
        if path.relative_to(package).parts[0] == "fast":
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vi.fast"):
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module == "vi":
                found |= {"vi.fast" for alias in node.names if alias.name == "fast"}
            elif isinstance(node, ast.Import):
                found |= {a.name for a in node.names if a.name.startswith("vi.fast")}
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent)
