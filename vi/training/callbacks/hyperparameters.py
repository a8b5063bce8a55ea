"""The HParams tab: what was chosen, beside val/elbo."""

import math
from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers import TensorBoardLogger


class Hyperparameters(pl.Callback):
    """Writes flat scalars to the HParams tab when training starts.

    The metric ``val/elbo`` is announced without a value, and filled by the curve of that name.

    Args:
        values: Nested plain values; they are flattened with dots.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = flatten(values)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write them; a run that goes on has done so."""
        if trainer.global_step:
            return
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.log_hyperparams(self.values, {"val/elbo": math.nan})
            else:
                logger.log_hyperparams(self.values)


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted names and scalar values.

    >>> flatten({"bound": {"option": "iwae", "num_samples": 5}, "hidden": [2, 3]})
    {'bound.option': 'iwae', 'bound.num_samples': 5, 'hidden': '[2, 3]'}
    """
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            scalar = value is None or isinstance(value, bool | int | float | str)
            flat[f"{prefix}{key}"] = value if scalar else str(value)
    return flat
