"""Build a part from a node of a configuration: check it against its class, then construct it."""

import functools
from collections.abc import Iterable, Mapping
from typing import Any

from vi.config.conversion import from_config
from vi.config.registry import item_group, options, packaged, resolve, role_of, target_of
from vi.config.run import ROLES
from vi.config.schema import parameters, validate
from vi.errors import ConfigurationError, SupportMismatch, ViError
from vi.options import present_names


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
    data (``data_shape``) as it is, and the node of another group after building it. Optimisers and
    schedules need arguments that only the scheme has, so they are returned as factories.

    Args:
        group: The group of the node, such as "model".
        node: Plain values and ``_target_``. A value with a ``_target_`` of its own is built first,
            in the group that its name states. A list with the name of a group and an s contains
            parts of that group: such nodes, names of options, or {option: name, ...}.
        defaults: Nodes by group, and facts by name.
        plugins: Packages beside vi whose classes are allowed.
        path: Position of the node in the configuration, for messages; the group if not given.

    Returns:
        The part; for an optimiser or a schedule, a factory.

    Raises:
        ConfigurationError: An unknown option, a value of the wrong type, a class that is not
            allowed, parts that do not fit together, or an argument that the class refuses.

    >>> build("bound", {"_target_": "vi.bounds.iwae.IWAE", "num_samples": 5}).num_samples
    5
    >>> build("bound", {"_target_": "vi.bounds.iwae.IWAE", "num_sample": 5})
    Traceback (most recent call last):
    vi.errors.ConfigurationError: unknown option bound.num_sample
    """
    path = path or group
    defaults = defaults or {}
    cls = resolve(str(node.get("_target_", "")), group, plugins)
    node = _with_lists(present_names(cls, node, path), plugins)
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
    """Return a hint with the options that fit the posterior and those that fit the prior."""
    of_q, of_p = mismatch.supports
    fits = {"prior": (of_q, "posterior"), "posterior": (of_p, "prior")}
    return ", or ".join(
        f"{group}={'|'.join(names)} for this {other}"
        for group, (support, other) in fits.items()
        if (names := _living_on(support, group, plugins))
    )


def _living_on(support: str, group: str, plugins: Iterable[str]) -> list[str]:
    """Return the options of a group whose support has this name."""
    from vi.distributions.support import support_name  # torch is slow to import

    classes = {o: resolve(target_of(group, o, plugins), group, plugins) for o in options(group)}
    return [o for o, cls in classes.items() if support_name(cls.support) == support]


def check(
    group: str, node: Mapping[str, Any], *, plugins: Iterable[str] = (), path: str = ""
) -> None:
    """Check everything that ``build`` checks without constructing anything.

    Args:
        group: The group of the node.
        node: Plain values and ``_target_``.
        plugins: Packages beside vi whose classes are allowed.
        path: Position of the node in the configuration, for messages.

    Raises:
        ConfigurationError: See ``build``.
    """
    path = path or group
    cls = resolve(str(node.get("_target_", "")), group, plugins)
    node = _with_lists(present_names(cls, node, path), plugins)
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
    """Return the groups of ``defaults`` from which ``build`` would take a part for this node.

    An option of a group that is not used has no effect, which the caller can refuse.
    """
    cls = resolve(str(node.get("_target_", "")), group, plugins)
    within = {name: value for name, value in node.items() if _is_node(value)}
    missing = {k: defaults[k] for k in parameters(cls) if k not in node and k in defaults}
    deeper = (
        used_groups(name, part, defaults, plugins) for name, part in (within | missing).items()
    )
    return set(missing).union(*deeper)


def _with_lists(node: Mapping[str, Any], plugins: Iterable[str]) -> dict[str, Any]:
    """Return the node with the parts in its lists as full nodes."""
    return {
        name: [_part(item_group(name), item, plugins) for item in value]
        if isinstance(value, list) and item_group(name) in ROLES
        else value
        for name, value in node.items()
    }


def _part(group: str, item: Any, plugins: Iterable[str]) -> Any:
    """Return the node for an option's name, or for {option: name, ...}, which changes values."""
    if isinstance(item, str):
        return packaged(group, item, plugins)
    if isinstance(item, Mapping) and "option" in item:
        changed = from_config(group, item, plugins)
        return packaged(group, str(item["option"]), plugins) | changed
    return item


def _is_node(value: Any) -> bool:
    """Whether a value describes a part."""
    return isinstance(value, Mapping) and "_target_" in value
