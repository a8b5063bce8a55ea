"""What a yaml of a part says, without the forty other files that a command composes."""

from functools import cache, reduce
from typing import Any

from omegaconf import OmegaConf

from vi.config.registry import config_dir, options
from vi.config.run import SUGGESTED


@cache
def part(group: str, option: str) -> dict[str, Any]:
    """As Hydra composes it, which takes a hundred times as long; mixtures of three."""
    values = OmegaConf.to_container(OmegaConf.load(config_dir() / "train.yaml"))
    suggested = {name: value for name, value in values.items() if name in SUGGESTED}
    return part_with({**suggested, "num_components": 3}, group, option)


def part_with(suggested: dict[str, Any], group: str, option: str) -> dict[str, Any]:
    """With these single values of the run.

    ``test_every_option_composes`` holds it to what Hydra says.
    """
    whole = OmegaConf.merge(suggested, {group: _read(group, option)})
    return OmegaConf.to_container(whole, resolve=True)[group]


def _read(group: str, option: str) -> dict[str, Any]:
    """What stands in a yaml, with the files that it names for parts of its own."""
    path = options(group)[option]
    content: Any = OmegaConf.to_container(OmegaConf.load(path))
    chosen = [pair for default in content.pop("defaults", []) for pair in _pairs(default, group)]
    is_global = "@package _global_" in path.read_text()
    here = content[group] if is_global else content
    for key, inner in chosen:
        inner_group, _, where = key.removeprefix("/").partition("@")
        if not key.startswith("override "):
            *above, name = (where.removeprefix(f"{group}.") if is_global else where).split(".")
            place = reduce(lambda node, step: node[step], above, here)
            parts = OmegaConf.create(_read(inner_group, inner)), place.get(name, {})
            place[name] = OmegaConf.to_container(OmegaConf.merge(*parts))
    return here


def _pairs(default: Any, group: str) -> list[tuple[str, str]]:
    """Group and option of an entry; ``option@key`` names a sibling that becomes a part."""
    if not isinstance(default, str):
        return list(default.items())
    option, _, key = default.partition("@")
    return [(f"/{group}@{key}", option)] if key else []
