"""Imputation of the missing entries of a data set."""

from collections.abc import Iterator

import torch
from torch import Tensor

from vi.data.base import Split
from vi.distributions.datum_noise import datum_noise
from vi.errors import ConfigurationError, require_positive
from vi.evaluation.imputation import impute
from vi.evaluation.independent_entries import (
    EntryFrequencies,
    EntryGaussians,
    IndependentEntries,
)
from vi.fast import session
from vi.models.base import LatentVariableModel
from vi.progress import watched

_BLOCK = 4096  # training data read at once


@torch.no_grad()
def impute_split(
    model: LatentVariableModel,
    split: Split,
    train: Split,
    num_samples: int = 1000,
    *,
    seed: int = 0,
    batch_size: int = 500,
    limit: int | None = None,
) -> dict[str, Tensor]:
    """Impute every datum of a split, and score the entries that were hidden and are known.

    Args:
        model: In evaluation mode, on the device of the data.
        split: Data with missing entries.
        train: Data to fit the baseline with independent entries and no latent.
        num_samples: K of ``impute``.
        seed: The noise of a datum is a function of (seed, datum); dynamic binarisation too.
        batch_size: Affects the speed only, never a number.
        limit: Impute only this many data, spread evenly over the split.

    Returns:
        Tensors on the CPU with a row for each datum: ``x`` (E[x|x_observed] at missing entries),
        ``observed``, ``truth`` (NaN where it is not known); in nats ``log_likelihood`` of the
        entries that are held out (hidden, and known), its ``standard_error``, ``independent`` (the
        same under the baseline); and ``effective_sample_size``.

    Raises:
        ConfigurationError: No entry is missing, or a size is not positive.
    """
    require_positive("batch_size", batch_size)
    n = len(split) if limit is None else min(limit, len(split))
    require_positive("limit", n)
    split = split.frozen(seed)
    if split.observed is None:
        raise ConfigurationError(
            "nothing is missing in these data",
            hint="train with data.hidden_fraction=0.5, or with data.missing=mask on data with "
            "empty cells",
        )
    independent = _independent(model, train.frozen(seed))
    blocks = []
    with session(None, model):
        for index in watched(split.spread(n).split(batch_size)):
            with datum_noise(seed, index):
                block = _impute_block(model, split, index, num_samples, independent)
            blocks.append({name: column.cpu() for name, column in block.items()})
    return {name: torch.cat([block[name] for block in blocks]) for name in blocks[0]}


def _impute_block(
    model: LatentVariableModel,
    split: Split,
    index: Tensor,
    num_samples: int,
    independent: IndependentEntries,
) -> dict[str, Tensor]:
    """Impute the data at ``index``; returns the columns of ``impute_split``."""
    given = split.batch(index).given
    observed, truth = given.pop("observed"), split.values(index)
    held_out = ~observed & ~truth.isnan()
    found = impute(model, truth, num_samples, observed=observed, held_out=held_out, **given)
    alone = independent.log_prob(truth).where(held_out, 0.0).flatten(1).sum(1)
    return {"truth": truth, "observed": observed, "independent": alone, **found._asdict()}


def _independent(model: LatentVariableModel, train: Split) -> IndependentEntries:
    """Return the baseline: frequencies for a likelihood on a grid of numbers, else Gaussians."""

    def blocks() -> Iterator[tuple[Tensor, Tensor]]:
        for index in torch.arange(len(train), device=train.stored.device).split(_BLOCK):
            x = train.values(index)
            yield x, ~x.isnan() if train.observed is None else train.observed[index]

    head = model.data_head()
    discrete = head is not None and head.support.is_discrete
    return EntryFrequencies(blocks) if discrete else EntryGaussians(blocks)


def imputation_numbers(columns: dict[str, Tensor]) -> dict[str, float]:
    """Summarise the columns of ``impute_split``, in nats per datum and nats per entry.

    ``held_out_log_likelihood_se`` is the Monte-Carlo error of the mean over these data.

    Args:
        columns: What ``impute_split`` returned.

    Returns:
        Numbers by name; those of held-out entries are absent if nothing is held out.
    """
    observed, truth = columns["observed"], columns["truth"]
    n, held_out = len(truth), int((~observed & ~truth.isnan()).sum())
    numbers: dict[str, float] = {
        "count": n,
        "missing_entries": int((~observed).sum()),
        "held_out_entries": held_out,
        "effective_sample_size": columns["effective_sample_size"].median().item(),
    }
    if not held_out:
        return numbers
    error = columns["standard_error"].square().sum().sqrt().item() / n
    for name, column in (("held_out", "log_likelihood"), ("independent", "independent")):
        total = columns[column].sum().item()
        numbers[f"{name}_log_likelihood"] = total / n
        numbers[f"{name}_log_likelihood_per_entry"] = total / held_out
    return numbers | {"held_out_log_likelihood_se": error}
