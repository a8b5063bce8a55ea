"""Suppression of Lightning's notices and of warnings that are expected here."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_EXPECTED = (
    ".*Using ModelCheckpoint with manual optimization.*",  # steps are counted
    ".*does not have many workers.*",  # the data are resident; there is nothing to load
    ".*IterableDataset.*`__len__`.*",
    ".*Checkpoint directory .* exists and is not empty.*",  # a resumed run
    ".*Experiment logs directory .* exists.*",
    ".*The number of training batches .* is smaller than the logging interval.*",
    ".*`training_step` returned `None`.*",  # manual optimisation
    ".*`LightningModule.configure_optimizers` returned `None`.*",  # exact EM
    ".*GPU available but not used.*",  # the user said so
    ".*isinstance\\(treespec, LeafSpec\\).*",
    ".*You defined a `validation_step` but have no `val_dataloader`.*",
    ".*ModelCheckpoint\\(monitor='val/bound'.*could not find the monitored key.*",
)


@contextmanager
def quiet() -> Iterator[None]:
    """Hide the expected warnings and Lightning's notices inside the ``with`` block."""
    loggers = [logging.getLogger(f"lightning.{n}") for n in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for pattern in _EXPECTED:
            warnings.filterwarnings("ignore", pattern)
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
