"""Dispatcher of ``python -m vi <command>``: files of ``vi/cli`` with a ``main`` are commands."""

import ast
import importlib
import sys
from pathlib import Path

from vi.cli.interrupts import in_one_line

_FOLDER = Path(__file__).parent / "cli"


def commands() -> dict[str, str]:
    """Return the commands with the first line of their docstrings, without importing them."""
    found = {}
    for path in sorted(_FOLDER.glob("[a-z]*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            found[path.stem] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


def main() -> None:
    """Run the command, or list all commands."""
    known = commands()
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in known:
        importlib.import_module(f"vi.cli.{name}").main(sys.argv[2:])
        return
    if name not in ("-h", "--help"):
        print(f"error: unknown command {name}\nhint: one of {', '.join(known)}", file=sys.stderr)
        sys.exit(2)
    print("python -m vi <command> [name=value ...]\n")
    for command, summary in known.items():
        print(f"  {command:16} {summary}")
    print("\n  python -m vi <command> --help")


if __name__ == "__main__":
    with in_one_line():
        main()
