"""A composed node becomes a part: checked against its class, then made with all parts in it."""

import functools
from collections.abc import Iterable, Mapping
from typing import Any

from vi.config.conversion import from_config
from vi.config.registry import item_group, options, packaged, resolve, role_of, target_of
from vi.config.run import ROLES
from vi.config.schema import parameters, validate
from vi.errors import ConfigurationError, SupportMismatch, ViError


def build(
    group: str,
    node: Mapping[str, Any],
    *,
    defaults: Mapping[str, Any] | None = None,
    plugins: Iterable[str] = (),
    path: str = "",
) -> Any:
    """Make the part that a node describes.

    A parameter of the class that the node does not set is taken from ``defaults``: a fact of the
    data (``data_shape``) as it is, another group's node by building it. Optimisers and schedules
    need what only the scheme has, so they come back as factories.

    Args:
        group: The group that the node plays in.
        node: Plain values and ``_target_``; a value that has a ``_target_`` is built first, in the
            group that its name says. A list called like a group, with an s, holds parts of that
            group: such nodes, names of options, or {option: name, ...}.
        defaults: Nodes by group, and facts by name.
        plugins: Packages beside vi whose classes are welcome.
        path: Where the node stands, for messages; the group if not given.
    """
    path = path or group
    defaults = defaults or {}
    cls = resolve(str(node.get("_target_", "")), group, plugins)
    node = _with_lists(node, plugins)
    validate(cls, node, path)
    values = {k: v for k, v in node.items() if k != "_target_"}

    def made(name: str, value: Any, path: str) -> Any:
        if isinstance(value, list):
            return [made(item_group(name), v, f"{path}.{i}") for i, v in enumerate(value)]
        if not _is_node(value):
            return value
        return build(name, value, defaults=defaults, plugins=plugins, path=path)

    built = {name: made(name, value, f"{path}.{name}") for name, value in values.items()}
    if issubclass(cls, (role_of("optimizer"), role_of("schedule"))):
        return functools.partial(cls, **built)
    missing = [k for k in parameters(cls) if k not in values and k in defaults]
    built |= {name: made(name, defaults[name], name) for name in missing}
    try:
        return cls(**built)
    except SupportMismatch as error:
        raise ConfigurationError(str(error), hint=_on_one_support(error, plugins)) from None
    except ViError:
        raise
    except (TypeError, ValueError, RuntimeError, IndexError, ArithmeticError) as error:
        raise ConfigurationError(
            f"{path}: {str(error).partition(chr(10))[0]}",
            hint=f"see the docstring of {cls.__name__}",
        ) from error


def _on_one_support(mismatch: SupportMismatch, plugins: Iterable[str]) -> str:
    """The options that would fit the posterior, and those that would fit the prior."""
    of_q, of_p = mismatch.supports
    fits = {"prior": (of_q, "posterior"), "posterior": (of_p, "prior")}
    return ", or ".join(
        f"{group}={'|'.join(names)} for this {other}"
        for group, (support, other) in fits.items()
        if (names := _living_on(support, group, plugins))
    )


def _living_on(support: str, group: str, plugins: Iterable[str]) -> list[str]:
    from vi.distributions.support import support_name  # torch is slow to import

    classes = {o: resolve(target_of(group, o, plugins), group, plugins) for o in options(group)}
    return [o for o, cls in classes.items() if support_name(cls.support) == support]


def check(
    group: str, node: Mapping[str, Any], *, plugins: Iterable[str] = (), path: str = ""
) -> None:
    """Everything that ``build`` checks, without making anything."""
    path = path or group
    cls = resolve(str(node.get("_target_", "")), group, plugins)
    node = _with_lists(node, plugins)
    validate(cls, node, path)
    for name, value in node.items():
        if _is_node(value):
            check(name, value, plugins=plugins, path=f"{path}.{name}")
        for i, item in enumerate(value if isinstance(value, list) else ()):
            if _is_node(item):
                check(item_group(name), item, plugins=plugins, path=f"{path}.{name}.{i}")


def used_groups(
    group: str,
    node: Mapping[str, Any],
    defaults: Mapping[str, Any],
    plugins: Iterable[str] = (),
) -> set[str]:
    """The groups of ``defaults`` that ``build`` would take a part from, for this node."""
    cls = resolve(str(node.get("_target_", "")), group, plugins)
    within = {name: value for name, value in node.items() if _is_node(value)}
    missing = {k: defaults[k] for k in parameters(cls) if k not in node and k in defaults}
    deeper = (
        used_groups(name, part, defaults, plugins) for name, part in (within | missing).items()
    )
    return set(missing).union(*deeper)


def _with_lists(node: Mapping[str, Any], plugins: Iterable[str]) -> dict[str, Any]:
    """The node with the lists of parts in it written out."""
    return {
        name: [_part(item_group(name), item, plugins) for item in value]
        if isinstance(value, list) and item_group(name) in ROLES
        else value
        for name, value in node.items()
    }


def _part(group: str, item: Any, plugins: Iterable[str]) -> Any:
    """A node from an option's name, or from {option: name, ...}: as its yaml, unless changed."""
    if isinstance(item, str):
        return packaged(group, item, plugins)
    if isinstance(item, Mapping) and "option" in item:
        changed = from_config(group, item, plugins)
        return packaged(group, str(item["option"]), plugins) | changed
    return item


def _is_node(value: Any) -> bool:
    return isinstance(value, Mapping) and "_target_" in value
