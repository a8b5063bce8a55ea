"""The Lightning module: manual optimisation with several optimiser steps per call."""

import time
from itertools import pairwise, starmap
from typing import Any, cast

import lightning.pytorch as pl
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from vi.bounds.base import Bound
from vi.data.base import Batch, LoadedData
from vi.distributions.datum_noise import datum_noise
from vi.evaluation.columns import terms
from vi.fast import session
from vi.inputs import as_it_is
from vi.models.base import LatentVariableModel
from vi.schemes.base import Scheme
from vi.startup import startup
from vi.training.batching import IndexBlocks, InOrder
from vi.training.logbook import Logbook
from vi.training.processes import Processes
from vi.training.resuming.checkpoint import gather, restore
from vi.training.settings import TrainerSettings
from vi.training.signals import Signals
from vi.training.steps import Steps

_EVALUATION_BATCH = 500
_CALL_SECONDS = 0.25
_PROBE = 500  # number of held-out data that a scheme may use after an epoch


class TrainingModule(pl.LightningModule):
    """Trains a model by a bound and a scheme on data in memory.

    The noise of a step is a function of (seed, optimiser step), and that of validation a function
    of (seed, datum). Steps are optimiser steps everywhere: in ``trainer.global_step``, on the axis
    of every curve, and in the checkpoint.

    Args:
        model: Trained in place.
        bound: The objective.
        scheme: Which parameters are updated, and when.
        data: The splits, whose size per datum is that of the model's ``data_shape``; they follow
            the module to its device.
        settings: Limits, speed and device.
        seed: Seed of the run.
    """

    def __init__(
        self,
        model: LatentVariableModel,
        bound: Bound,
        scheme: Scheme,
        data: LoadedData,
        settings: TrainerSettings,
        seed: int,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = model
        self.bound = bound
        self.scheme = scheme
        self.shape = tuple(data.shape)
        self.data = data.viewed(model.data_shape, doubles=model.takes_doubles)
        self.settings = settings
        self.seed = seed
        scheme.num_data = len(data.train)
        self.session = session(settings, model, bound)
        self.book = Logbook(self)
        self.step_seconds = 0.0  # seconds per step, of the latest steps
        self.ended_before: list[str] = []  # reasons why the resumed run had ended
        self.closed = 0  # the step at which the latest complete epoch ended
        self.signals = Signals()
        self.processes = Processes()

    def configure_optimizers(self) -> Any:
        """Return the scheme's optimisers and schedules; None for an exact scheme."""
        optimizers, schedules = self.scheme.configure(self.model, self.bound)
        return (optimizers, schedules) if optimizers else None

    @property
    def inferred(self) -> LatentVariableModel:
        """The model with the q that its scheme uses for unseen data."""
        return self.scheme.inference(self.model, self.bound)

    def setup(self, stage: str) -> None:
        """Move the data to the device, and store the rank and number of processes."""
        self.processes = Processes(self.trainer.global_rank, self.trainer.world_size)
        self.session.agree(self.processes.each)
        for split in (self.data.train, self.data.val, self.data.test):
            if split is not None:
                split.to(self.device)

    def on_train_start(self) -> None:
        """Prepare the step and start the clock."""
        self.book.started = time.perf_counter()
        self.steps = Steps(self)

    def steps_per_epoch(self) -> int:
        """Return the number of optimiser steps in one pass over the training data."""
        return self.settings.steps_per_epoch(len(self.data.train))

    def train_dataloader(self) -> IndexBlocks:
        """Return the blocks of indices of one epoch."""
        return IndexBlocks(
            len(self.data.train),
            self.settings,
            self.seed,
            lambda: self.trainer.global_step,
            self.device,
            steps_per_call=self._steps_per_call,
            periods=self._file_periods(),
            same_order=self.scheme.fixed_data,
            is_open=self.is_open,
        )

    def val_dataloader(self) -> InOrder:
        """Return blocks of indices in order; none without validation data."""
        n = len(self.data.val) if self.data.val is not None else 0
        return InOrder(n, _EVALUATION_BATCH, self.device)

    @as_it_is()
    def training_step(self, blocks: list[Tensor], _: int) -> None:
        """Take several optimiser steps, divided where terms are logged."""
        self._stop_if_told()
        period = self.settings.log_every_n_steps
        until_logged = period - self.trainer.global_step % period
        cuts = [0, *range(until_logged, len(blocks), period), len(blocks)]
        for part in starmap(slice, pairwise(cuts)) if blocks else ():
            started = time.perf_counter()
            taken = self.steps(blocks[part])
            self._count(taken)
            startup.first_step()
            self.step_seconds = (time.perf_counter() - started) / taken
            self._after_steps()
            if self.trainer.should_stop:
                return
            self._stop_if_told()
        self.trainer.should_stop |= self._is_at_limit()

    def _after_steps(self) -> None:
        """Do what is due after this number of steps, before validation and checkpoints."""
        step = self.trainer.global_step
        epoch_ends = step % self.steps_per_epoch() == 0
        if epoch_ends:
            self.scheme.end_epoch(self.bound, self.model, self._probe())
        if epoch_ends or step % self.settings.log_every_n_steps == 0:
            self.book.close_training()
        elif any(step % period == 0 for period in self._file_periods()):
            self.book.require_finite()
        if epoch_ends:
            schedulers = self.lr_schedulers() or []
            for scheduler in schedulers if isinstance(schedulers, list) else [schedulers]:
                cast(LRScheduler, scheduler).step()
        self.trainer.should_stop |= self._is_at_limit()

    def _is_at_limit(self) -> bool:
        """Return whether the limit of steps or of evaluations is reached."""
        return self.trainer.global_step == self.settings.max_steps or self.book.spent_all()

    def is_open(self) -> bool:
        """Return whether the last step of an epoch is taken but its end is not processed yet."""
        step = self.trainer.global_step
        return step != self.closed and (step % self.steps_per_epoch() == 0 or self._is_at_limit())

    def _stop_if_told(self) -> None:
        """After a signal, save a checkpoint and raise ``Interrupted``."""
        if self.signals.agreed(self.processes):
            if self.trainer.global_step:
                self.trainer.save_checkpoint(self.signals.last)
            raise self.signals.stopped()

    def _steps_per_call(self) -> int:
        """Return the largest number of steps per call; auto fills a quarter of a second."""
        chosen = self.settings.steps_per_call
        if chosen != "auto":
            return chosen
        seconds = self.processes.total({"step": self.step_seconds})["step"] / self.processes.world
        return max(1, int(_CALL_SECONDS / seconds)) if seconds else 1

    def _file_periods(self) -> list[int]:
        """Return after how many steps each periodic checkpoint is written."""
        files = self.trainer.checkpoint_callbacks
        periods = [getattr(file, "_every_n_train_steps", 0) for file in files]
        return [period for period in periods if period > 0]

    def _probe(self) -> Batch:
        """Return held-out data that a scheme may use at the end of an epoch."""
        split = (self.data.val or self.data.train).frozen(self.seed)
        return split.batch(split.spread(min(_PROBE, len(split))))

    def on_train_epoch_end(self) -> None:
        """Log the terms since the last logged step, and mark the epoch as complete."""
        self.book.close_training()
        self.trainer.should_stop |= self.scheme.converged
        self.closed = self.trainer.global_step

    @as_it_is()
    def validation_step(self, index: Tensor, _: int) -> None:
        """Compute the bound on validation data, with noise keyed by datum."""
        assert self.data.val is not None  # else there are no blocks
        self._stop_if_told()
        share = self.processes.share(index)
        batch = self.data.val.batch(share.index)
        with datum_noise(self.seed, share.index):
            estimate = self.bound(self.inferred, batch.x, **batch.given)
        self.book.val_means.add(share.counting(terms(estimate)))

    def on_validation_epoch_end(self) -> None:
        """Log the means for curves, early stopping and checkpoints."""
        metrics = self.book.close_validation()
        if metrics:
            self.log_dict(metrics, logger=False, sync_dist=self.processes.world > 1)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the position of the run to the checkpoint."""
        gather(self, checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Continue from the position in the checkpoint."""
        restore(self, checkpoint)

    def _count(self, steps: int) -> None:
        """Add steps of the raw optimisers to Lightning's counters."""
        progress = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        for tracker in (progress.total, progress.current):
            tracker.ready += steps
            tracker.completed += steps
