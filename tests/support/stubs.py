"""What editors and type checkers read of a package whose names are imported when they are used.

    python -m tests.support.stubs

writes ``vi/__init__.pyi`` and ``vi/data/__init__.pyi`` from the public names (``vi.lazy``).
"""

import importlib
from pathlib import Path

from vi.lazy import folders, public_names

ROOT = Path(__file__).parents[2]
PACKAGES = ("vi", "vi.data")
NOTE = (
    "# ruff: noqa: I001",
    "# Written by `python -m tests.support.stubs`, which a new option asks for.",
)


def stub(package: str) -> str:
    """The text of a package's stub."""
    module = importlib.import_module(package)
    lines = [_line(package, folder) for folder in folders(package)]
    # where they are defined, past functions around them, whose signature no editor reads
    parts = {name: getattr(module, name).__module__ for name in public_names(package)}
    lines += sorted(_line(where, name) for name, where in parts.items())
    version = ["", "__version__: str"] if hasattr(module, "__version__") else []
    return "\n".join([f'"""{module.__doc__}"""', "", *NOTE, "", *lines, *version, ""])


def _line(module: str, name: str) -> str:
    line = f"from {module} import {name} as {name}"
    return line if len(line) < 100 else f"from {module} import (\n    {name} as {name},\n)"


def path(package: str) -> Path:
    """Where the stub of a package lies."""
    return ROOT.joinpath(*package.split("."), "__init__.pyi")


if __name__ == "__main__":
    for name in PACKAGES:
        path(name).write_text(stub(name), encoding="utf-8")
