"""Entries of x that are missing: those that a file leaves out, and those that are hidden."""

from dataclasses import replace

import torch

from vi.data.partition import generator
from vi.data.source import Items, Source
from vi.errors import ConfigurationError

_HIDDEN = 2  # what a stream of random numbers is for; bits are drawn from streams 0 and 1


def mask_nan(items: Items) -> Items:
    """Return the items with NaN entries marked as missing, outside of the likelihood.

    Without NaN entries the items are returned as they are.

    >>> mask_nan(Items(torch.tensor([[1.0, torch.nan]]))).observed
    tensor([[ True, False]])
    """
    observed = ~items.stored.isnan()
    return items if observed.all() else replace(items, observed=observed)


def require_hidden(fraction: float) -> None:
    """Refuse to hide a fraction that is none.

    Raises:
        ConfigurationError: It is not in [0, 1).
    """
    if not 0 <= fraction < 1:
        raise ConfigurationError(
            f"data.hidden_fraction must be at least 0 and below 1, got {fraction}",
            hint="data.hidden_fraction=0.5 hides half of the entries",
        )


def hide(source: Source, fraction: float, seed: int) -> Source:
    """Hide entries of every split at random, each with the same probability.

    The choice is a function of (seed, split, datum), equal at every visit and for every run. The
    true values remain in ``stored``, so that imputed values can be compared with them.

    Args:
        source: The items of every split.
        fraction: The probability of each entry; 0 hides nothing.
        seed: The seed of the split of the data, not of the run.

    Raises:
        ConfigurationError: ``fraction`` is not in [0, 1).
    """
    require_hidden(fraction)
    if fraction == 0:
        return source
    train = _hidden(source.train, fraction, seed, 0)
    val = None if source.val is None else _hidden(source.val, fraction, seed, 1)
    # if the training data are also the test split, the same entries must be hidden
    same = source.test is source.train
    test = train if same else _hidden(source.test, fraction, seed, 2)
    facts = {**source.facts, "data/hidden": fraction}
    return replace(source, train=train, val=val, test=test, facts=facts)


def _hidden(items: Items, fraction: float, seed: int, number: int) -> Items:
    random = generator(seed, _HIDDEN, number)
    shown = torch.rand(items.stored.shape, generator=random, dtype=torch.float32) >= fraction
    return replace(items, observed=shown if items.observed is None else shown & items.observed)
