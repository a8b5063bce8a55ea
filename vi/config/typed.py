"""Options and commands in the form in which a user types them."""

import re
import shlex
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

_BARE = re.compile(r"(?:\.{0,2}/)?[A-Za-z_][A-Za-z0-9_./-]*")
_OTHER = {"true", "false", "null", "nan", "inf"}  # words that the grammar does not read as text


def quoted(text: str) -> str:
    r"""Return a text in the quotes of Hydra's grammar, if it needs them.

    >>> print(quoted("outputs/digits"), quoted("a run's, b"))
    outputs/digits 'a run\'s, b'
    """
    if _BARE.fullmatch(text) and text.lower() not in _OTHER:
        return text
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", text)
    escaped = re.sub(r"(\\+)\Z", r"\1\1", escaped)
    return f"'{escaped}'"


def option(name: str, text: object) -> str:
    r"""Return an option that can be pasted into a shell.

    >>> print(option("run", "outputs/digits"), option("run", "my run"))
    run=outputs/digits 'run='"'"'my run'"'"''
    """
    return shlex.quote(f"{name}={quoted(str(text))}")


def plugins_option(plugins: Iterable[str]) -> list[str]:
    """Return the option that names these packages, for a shell; empty without packages.

    >>> plugins_option(["mine", "yours"]), plugins_option([])
    (["'plugins=[mine,yours]'"], [])
    """
    names = ",".join(plugins)
    return [shlex.quote(f"plugins=[{names}]")] if names else []


def python() -> str:
    """Return the command of this interpreter as the user would type it, quoted for a shell."""
    here = Path(sys.executable)
    on_path = shutil.which("python")
    if on_path and Path(on_path) == here:
        return "python"
    inside = here.is_relative_to(Path.cwd())
    return shlex.quote(str(here.relative_to(Path.cwd()) if inside else here))
