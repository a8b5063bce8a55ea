"""README.md and docs/ stay true: links lead somewhere, and commands and examples are of today."""

import ast
import re
import shlex
from pathlib import Path

import pytest

import vi
from tests.support.composing import hasten
from vi.__main__ import commands
from vi.cli.composing.compose import composed
from vi.config.run import Run

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(python (?:train\.py|-m vi)[^`]*)`")


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in one language."""
    return [code for kind, code in BLOCK.findall(page.read_text("utf-8")) if kind == language]


def command_lines() -> list[tuple[str, ...]]:
    """Every command of every page once, as words; what is left open (...) is left out."""
    lines = [line for page in PAGES for block in blocks(page, "") for line in block.splitlines()]
    inline = [text for page in PAGES for text in INLINE.findall(page.read_text("utf-8"))]
    words = [shlex.split(line, comments=True) for line in lines + inline]
    ours = [w for w in words if w[:2] == ["python", "train.py"] or w[:3] == ["python", "-m", "vi"]]
    return sorted({tuple(word for word in line if ".." not in word) for line in ours})


TRAINING = [line[2:] for line in command_lines() if line[1] == "train.py"]
OTHERS = [line[3:] for line in command_lines() if line[1] == "-m"]


def test_the_readme_is_short():
    """At most 110 lines. Caught: what belongs in docs/."""
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 110


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    """Those within the project. Caught: a page that was renamed."""
    links = [link for link in LINK.findall(page.read_text("utf-8")) if "://" not in link]
    assert not [link for link in links if not (page.parent / link).exists()]


@pytest.mark.parametrize("words", TRAINING, ids=" ".join)
def test_training_commands_compose(words, monkeypatch):
    """With the values that they name, each in turn. Caught: an option that was renamed."""
    hasten(monkeypatch)
    if {"--help", "--cfg"} & {*words} or any(w.startswith("plugins=") for w in words):
        return
    is_sweep, words = "-m" in words, [w for w in words if w != "-m"]
    for number in range(max(w.count(",") for w in words) + 1 if is_sweep else 1):
        composed("train", [_value(w, number) if is_sweep else w for w in words], Run)


def _value(word: str, number: int) -> str:
    name, _, values = word.partition("=")
    each = values.split(",")
    return f"{name}={each[min(number, len(each) - 1)]}"


@pytest.mark.parametrize("words", OTHERS, ids=" ".join)
def test_other_commands_exist(words):
    """Caught: a command that was renamed."""
    assert not words or words[0].startswith("<") or words[0] in {*commands(), "--help"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_use_names_that_exist(page):
    """Every ``vi.name`` of a Python example. Caught: a class of another name."""
    for example in blocks(page, "python"):
        names = [n for n in ast.walk(ast.parse(example)) if isinstance(n, ast.Attribute)]
        used = {n.attr for n in names if isinstance(n.value, ast.Name) and n.value.id == "vi"}
        assert not {name for name in used if not hasattr(vi, name)}
