"""The yaml files of packages that the command line names: ``plugins=[mypackage]``."""

import json
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from vi.config.registry import configs_of, require_plugins


def searchpath_of(overrides: Sequence[Override]) -> list[str]:
    """Return the folders of yaml files of the named plugins, in the form of Hydra."""
    folders = map(configs_of, _named(overrides))
    return [f"file://{folder.resolve()}" for folder in folders if folder is not None]


def with_searchpath(texts: Sequence[str]) -> list[str]:
    """Return the options, with the folders of named plugins added to Hydra's search path.

    Raises:
        ConfigurationError: A plugin is not installed.
    """
    overrides = OverridesParser.create().parse_overrides(list(texts))
    require_plugins(_named(overrides))
    implied = searchpath_of(overrides)
    said = [o for o in overrides if o.key_or_group == "hydra.searchpath"]
    typed = said[-1].value() if said else []
    if not implied or not isinstance(typed, list):  # Hydra refuses the second
        return list(texts)
    whole = [*typed, *(folder for folder in implied if folder not in typed)]
    others = [str(o.input_line) for o in overrides if o not in said]
    return [*others, f"hydra.searchpath={json.dumps(whole)}"]


def _named(overrides: Sequence[Override]) -> list[str]:
    """Return the packages that the option ``plugins`` names."""
    said = [o for o in overrides if o.key_or_group == "plugins" and not o.is_delete()]
    value = said[-1].value() if said and not said[-1].is_sweep_override() else []
    return [str(name) for name in value] if isinstance(value, list) else []
