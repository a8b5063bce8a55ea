"""Write a plugin package: a part of your own, its yaml and its laws."""

import importlib.util
import keyword
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vi.cli.reporting import reporting
from vi.config.registry import groups, options
from vi.config.schema import did_you_mean
from vi.config.typed import plugins_option, python
from vi.errors import ConfigurationError, RunDirectoryError
from vi.files.atomic import write_atomically

_TEMPLATES = Path(__file__).parent / "templates"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_USAGE = "python -m vi new <kind> <name>"


@dataclass(frozen=True)
class Kind:
    """Contents of a plugin package of one kind.

    Args:
        groups: Groups of options, in each of which the package has a yaml.
        laws: Class of ``vi.testing`` with the laws of the part.
        takes: Parameters of ``make`` in the laws, after ``self``.
        makes: Expression that builds the part under test.
        more: Other modules besides that of the class.
        beside: Further options in the command that trains with the part.
    """

    groups: tuple[str, ...]
    laws: str
    takes: str = ""
    makes: str = "MyPart()"
    more: tuple[str, ...] = ()
    beside: str = ""


def _of_latents(group: str, laws: str) -> Kind:
    """Return the kind of a part that is built from ``latent_dim``."""
    takes, makes = ", latent_dim", "MyPart(latent_dim)"
    return Kind((group,), laws, takes, makes, more=("distribution",))


KINDS = {
    "posterior": _of_latents("posterior", "PosteriorLaws"),
    "prior": _of_latents("prior", "PriorLaws"),
    "likelihood": Kind(
        ("likelihood",), "LikelihoodLaws", more=("distribution",), beside="data=two_moons"
    ),
    "bound": Kind(("bound",), "BoundLaws"),
    "scheme": Kind(("scheme",), "SchemeLaws"),
    "inference": Kind(
        ("inference",), "InferenceLaws", makes="MyPart(vi.MLP([5]), vi.DiagonalGaussian(2))"
    ),
    "network": Kind(("encoder", "decoder"), "NetworkLaws"),
    "data": Kind(("data",), "DataLaws", makes="MyPart(n_train=50, n_val=10, n_test=20)"),
    "evaluation": Kind(("evaluation",), "EvaluationLaws"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, write the package, and print what to type next."""
    words = list(sys.argv[2:] if arguments is None else arguments)
    if not words or {"-h", "--help"} & {*words}:
        print(f"{__doc__}\n\n{_USAGE}\n\nkinds: {', '.join(KINDS)}")
        return
    with reporting():
        for line in new(*_kind_and_name(words)):
            print(line)


def new(kind: str, name: str) -> list[str]:
    """Write the package into the current folder.

    Args:
        kind: One of ``KINDS``.
        name: Name of the package, its module and its option.

    Returns:
        Lines to print: the files that were written, and commands to type next.

    Raises:
        ConfigurationError: The kind is unknown, or the name cannot be that of a package.
        RunDirectoryError: A file or folder of that name exists.
    """
    _require_kind(kind)
    _require_name(name, KINDS[kind].groups)
    root = Path(name)
    if root.exists():
        raise RunDirectoryError(
            f"{root}/ is there already", hint="give another name, or remove it first"
        )
    files = _files(kind, name)
    for path, text in files.items():
        write_atomically(root / path, text.encode(), durable=False)
    return [*(f"written {root / path}" for path in files), "", "next:", *_next(kind, name)]


def _kind_and_name(words: Sequence[str]) -> tuple[str, str]:
    """Return the two words of the command line, the kind and the name."""
    _require_kind(words[0])
    if len(words) != 2:
        raise ConfigurationError(
            f"new takes a kind and a name, got {' '.join(words)}",
            hint=f"python -m vi new {words[0]} my_{words[0]}",
        )
    return words[0], words[1]


def _require_kind(kind: str) -> None:
    """Refuse an unknown kind."""
    if kind not in KINDS:
        raise ConfigurationError(f"unknown kind {kind}", hint=did_you_mean(kind, KINDS))


def _require_name(name: str, of: Sequence[str]) -> None:
    """Refuse a name that is not a package name, or that is an option or a package already."""
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise ConfigurationError(
            f"{name!r} is not a package name: small letters, digits and _, a letter first",
            hint=f"{_USAGE.removesuffix('<name>')}my_part",
        )
    taken = [group for group in of if name in options(group)]
    if taken or name in groups():
        what = f"the option {taken[0]}={name}" if taken else f"a group called {name}"
        raise ConfigurationError(f"vi has {what}", hint="give another name, such as my_" + name)
    if not Path(name).exists() and (name == "vi" or importlib.util.find_spec(name)):
        raise ConfigurationError(
            f"there is already a Python package {name}, which the new one would hide",
            hint=f"give another name, such as my_{name}",
        )


def _files(kind: str, name: str) -> dict[Path, str]:
    """Return the contents of the files of the package, by path in its folder."""
    told, package = KINDS[kind], Path(name)

    def text(template: str) -> str:
        """Return a template with the names filled in."""
        found = (_TEMPLATES / f"{template}.txt").read_text(encoding="utf-8")
        for mark in ("kind", "laws", "takes", "makes"):
            found = found.replace(f"{{{mark}}}", getattr(told, mark, kind))
        return found.replace("my_part", name).replace("MyPart", _class_name(name))

    test = text("test.py")
    if "vi." in told.makes:
        test = test.replace("from vi.testing", "import vi\nfrom vi.testing", 1)
    return {
        Path("pyproject.toml"): text("pyproject.toml"),
        package / "__init__.py": f'"""A {kind} for vi."""\n',
        package / f"{name}.py": text(f"{kind}.py"),
        **{package / f"{more}.py": text(f"{more}.py") for more in told.more},
        **{package / "configs" / g / f"{name}.yaml": text(f"{kind}.yaml") for g in told.groups},
        Path("tests") / f"test_{name}.py": test,
    }


def _class_name(name: str) -> str:
    """Return the name of the class for a name of a module.

    >>> _class_name("my_posterior2")
    'MyPosterior2'
    """
    return "".join(word.capitalize() for word in name.split("_"))


def _next(kind: str, name: str) -> list[str]:
    """Return commands that install the package, test its laws, and train with it."""
    told, program = KINDS[kind], python()
    chosen = [f"{group}={name}" for group in told.groups]
    words = [*plugins_option([name]), *chosen, *told.beside.split()]
    return [
        f"  {program} -m pip install -e {name}",
        f"  {program} -m pytest {name}",
        f"  {program} -m vi train {' '.join(words)}",
    ]
