"""Curves of active units and of the KL by dimension or layer."""

from contextlib import suppress

import lightning.pytorch as pl
import torch

from vi.data.base import Batch
from vi.diagnostics.active_units import active_units
from vi.diagnostics.kl_per_dimension import kl_per_dimension
from vi.diagnostics.kl_per_layer import kl_per_layer
from vi.distributions.datum_noise import datum_noise
from vi.errors import ConfigurationError, require_positive
from vi.training.module import TrainingModule


class LatentDiagnostics(pl.Callback):
    """Log ``val/active_units`` and the parts of the KL (in nats) at every validation.

    The KL is logged as ``val_kl_per_dimension/<d>`` if q and p factorise over the dimensions, as
    ``val_kl_per_layer/<l>`` if they consist of layers, and not at all otherwise.

    Args:
        max_data: Largest number of validation data that are used.
    """

    def __init__(self, max_data: int = 1000) -> None:
        require_positive("max_data", max_data)
        self.max_data = max_data

    @torch.no_grad()
    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: TrainingModule) -> None:
        """Measure and log the diagnostics; do nothing without validation data."""
        split = pl_module.data.val
        if trainer.sanity_checking or split is None:
            return
        batch = split.batch(split.spread(min(self.max_data, len(split))))
        units = active_units(pl_module.inferred, batch.x, **batch.given)  # pyright: ignore
        pl_module.book.record({"val/active_units": float(units)} | self._kl(pl_module, batch))

    @staticmethod
    def _kl(module: TrainingModule, batch: Batch) -> dict[str, float]:
        """Return the KL by dimension or by layer; empty if it has neither."""
        with suppress(ConfigurationError):
            kl = kl_per_dimension(module.inferred, batch.x, **batch.given)
            return {f"val_kl_per_dimension/{d:03d}": value for d, value in enumerate(kl.tolist())}
        with suppress(ConfigurationError), datum_noise(module.seed, range(len(batch.x))):
            kl = kl_per_layer(module.inferred, batch.x, num_samples=1, **batch.given)
            return {f"val_kl_per_layer/{n}": value for n, value in enumerate(kl.tolist(), 1)}
        return {}
