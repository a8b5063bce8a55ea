"""Hyperparameters and results for the HParams tab of TensorBoard."""

import math
from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers import TensorBoardLogger

from vi.training.module import TrainingModule


class Hyperparameters(pl.Callback):
    """Write the hyperparameters as flat scalars to the HParams tab when training starts.

    The metrics ``val/elbo`` (if there are validation data), ``test/elbo`` and
    ``test/log_likelihood`` are announced as NaN; later curves of these names provide their values.

    Args:
        values: Nested plain values; they are flattened with dots.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = flatten(values)

    def on_train_start(self, trainer: pl.Trainer, pl_module: TrainingModule) -> None:
        """Write the values, unless the run is resumed and has written them before."""
        if trainer.global_step:
            return
        validated = ["val/elbo"] if pl_module.data.val is not None else []
        announced = dict.fromkeys(["test/elbo", "test/log_likelihood", *validated], math.nan)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.log_hyperparams(self.values, announced)
            else:
                logger.log_hyperparams(self.values)


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one mapping, with dotted names and scalar values.

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
