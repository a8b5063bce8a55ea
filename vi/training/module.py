"""The one Lightning module: manual optimisation, several optimiser steps a call."""

import math
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from itertools import pairwise, starmap
from typing import Any, cast

import lightning.pytorch as pl
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from vi.bounds.base import Bound
from vi.data.base import Batch, LoadedData
from vi.diagnostics.evaluations import Evaluations, counted
from vi.distributions.datum_noise import datum_noise
from vi.errors import NumericsError
from vi.fast import linear as products
from vi.fast.arithmetic import Arithmetic
from vi.fast.precision import tensor_cores
from vi.fast.replay.cpu_tape import Tapes
from vi.fast.replay.replay import CudaGraphs, ReplayedSteps, Take
from vi.inputs import as_it_is
from vi.math import mix
from vi.models.base import LatentVariableModel
from vi.schemes.base import Scheme
from vi.training.blocks import IndexBlocks, InOrder
from vi.training.checkpoint import gather, restore
from vi.training.magnitudes import steadying
from vi.training.means import Means, terms
from vi.training.processes import Processes
from vi.training.seeding import seed_generators
from vi.training.settings import TrainerSettings
from vi.training.signals import Signals
from vi.training.startup import startup
from vi.training.watched import is_backward_watched, is_step_watched

_EVALUATION_BATCH = 500
_CALL_SECONDS = 0.25
_PROBE = 500  # held-out data that a scheme may look at after an epoch


class TrainingModule(pl.LightningModule):
    """Trains a model by a bound and a scheme on resident data.

    The noise of a step is a function of (seed, optimiser step), that of validation of (seed,
    datum). Steps are counted by optimiser steps everywhere: in ``trainer.global_step``, on the
    axis of every curve, in the checkpoint.

    Args:
        model: Trained in place.
        bound: What it climbs.
        scheme: Which parameters step when.
        data: The splits, of as many entries as the model's ``data_shape``; they follow the module
            to its device.
        settings: How long and how fast.
        seed: Of the whole run.
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
        self.evaluations = Evaluations()
        self.step_seconds = 0.0  # of the latest steps
        self.started: float | None = None
        self.seconds_before = 0.0  # of the run that this one goes on from
        self.ended_before: list[str] = []  # why that run has ended, if it has
        self.closed = 0  # the step of the latest epoch that has ended, with all that belongs to it
        self.validated = 0  # the step of the latest validation
        self.signals = Signals()
        self.train_means = Means()
        self.val_means = Means()
        self.latest: dict[str, float] = {}
        self.processes = Processes()
        self.arithmetic = Arithmetic(settings)
        self.weight = 1.0  # of the mean of this process among those of all

    def configure_optimizers(self) -> Any:
        """What the scheme says; an exact scheme has none."""
        optimizers, schedules = self.scheme.configure(self.model, self.bound)
        return (optimizers, schedules) if optimizers else None

    @property
    def inferred(self) -> LatentVariableModel:
        """The model with the q that its scheme gives to unseen data."""
        return self.scheme.inference(self.model, self.bound)

    def setup(self, stage: str) -> None:
        """Bring the data to the device, and look who is there."""
        self.processes = Processes(self.trainer.global_rank, self.trainer.world_size)
        rounded = self.processes.each(products.is_rounding_by_onednn())
        products.round_by_onednn(rounded[0])  # each may have found another way
        for split in (self.data.train, self.data.val, self.data.test):
            if split is not None:
                split.to(self.device)

    def on_train_start(self) -> None:
        """Prepare the step."""
        self.started = time.perf_counter()
        self.backward_is_watched = is_backward_watched(self.trainer)
        self.take = self._step()
        self.take_again = self._replayed(self.take)

    def steps_per_epoch(self) -> int:
        """Optimiser steps in one pass over the training data."""
        return self.settings.steps_per_epoch(len(self.data.train))

    def train_dataloader(self) -> IndexBlocks:
        """Blocks of indices."""
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
        """Blocks of indices, in order; none where there are no validation data."""
        n = len(self.data.val) if self.data.val is not None else 0
        return InOrder(n, _EVALUATION_BATCH, self.device)

    @as_it_is()
    def training_step(self, blocks: list[Tensor], _: int) -> None:
        """Several optimiser steps, from one that is logged to the next."""
        self._stop_if_told()
        period = self.settings.log_every_n_steps
        until_logged = period - self.trainer.global_step % period
        cuts = [0, *range(until_logged, len(blocks), period), len(blocks)]
        for part in starmap(slice, pairwise(cuts)) if blocks else ():
            started = time.perf_counter()
            with counted(self.model, self.evaluations):
                taken = self._take_steps(blocks[part])
            self._count(taken)
            startup.first_step()
            self.step_seconds = (time.perf_counter() - started) / taken
            self._after_steps()
            if self.trainer.should_stop:
                return
            self._stop_if_told()
        self.trainer.should_stop |= self._is_at_limit()

    def _take_steps(self, blocks: list[Tensor]) -> int:
        """How many were taken: all, if they may be."""
        first = self.trainer.global_step
        seed, device, limited = self.seed, self.device, self.settings.max_evaluations is not None
        processes, bound, signals = self.processes, self.bound, self.signals
        for step, index in enumerate(blocks, start=first):
            seed_generators(mix(seed, step, *processes.key), device)
            bound.at_step(step)
            share = processes.share(index)
            self.weight = share.weight
            take = self.take_again if step >= bound.warmup_steps else self.take
            self.train_means.add(share.counting(take(share.index)))
            told = signals.received and processes.world == 1  # several agree first
            if told or limited and self.spent_all():
                return step + 1 - first
        return len(blocks)

    def _step(self) -> Take:
        """One optimiser step on a block of indices."""
        train, step = self.data.train, self._step_on()
        return lambda index: step(train.batch(index))

    def _step_on(self) -> Callable[[Batch], dict[str, Tensor]]:
        model, bound, scheme = self.model, self.bound, self.scheme
        optimizers, backward = self.trainer.optimizers, self._backward
        return lambda batch: terms(scheme.step(bound, model, batch, optimizers, backward))

    def _replayed(self, take: Take) -> Take:
        """The same by replaying a recording of it, where that is possible."""
        if self.processes.world > 1 or not self.settings.replay:
            return take
        on_gpu = self.device.type == "cuda"
        plain = self.settings.precision == "float32"  # else forward hooks are the precision's
        obstacles = {
            f"the steps of {type(self.scheme).__name__} differ": not self.scheme.repeats,
            "a callback watches the backward pass": self.backward_is_watched,
            "networks are compiled": self.settings.compile == "on" and not on_gpu,
            "a hook or a callback of yours watches": is_step_watched(
                self.trainer, [*self.model.modules(), self.bound], forward=plain
            ),
        }
        for obstacle, stands in obstacles.items():
            if stands:
                if on_gpu:
                    warnings.warn(f"no step is replayed as a CUDA graph: {obstacle}", stacklevel=2)
                return take
        optimizers, spent = self.trainer.optimizers, self.evaluations
        if on_gpu:
            return ReplayedSteps(lambda i: [i], take, optimizers, spent, CudaGraphs(optimizers))
        train, step = self.data.train, self._step_on()
        names: list[str] = []

        def inputs(index: Tensor) -> list[Tensor]:
            batch = train.batch(index)
            names[:] = batch.given
            return [index, batch.x, *batch.given.values()]

        def take_from(index: Tensor, x: Tensor, *given: Tensor) -> dict[str, Tensor]:
            return step(Batch(x, dict(zip(names, given, strict=True)), index))

        return ReplayedSteps(inputs, take_from, optimizers, spent, Tapes(optimizers))

    def _after_steps(self) -> None:
        """What is due after this number of steps, before anything is validated or written."""
        step = self.trainer.global_step
        epoch_ends = step % self.steps_per_epoch() == 0
        if epoch_ends:
            self.scheme.end_epoch(self.bound, self.model, self._probe())
        if epoch_ends or step % self.settings.log_every_n_steps == 0:
            self._log_training()
        elif any(step % period == 0 for period in self._file_periods()):
            self._finite_mean(self.train_means, "loss")
        if epoch_ends:
            schedulers = self.lr_schedulers() or []
            for scheduler in schedulers if isinstance(schedulers, list) else [schedulers]:
                cast(LRScheduler, scheduler).step()
        self.trainer.should_stop |= self._is_at_limit()

    def _is_at_limit(self) -> bool:
        return self.trainer.global_step == self.settings.max_steps or self.spent_all()

    def is_open(self) -> bool:
        """Whether the latest step was the last of its epoch, whose end is yet to come."""
        step = self.trainer.global_step
        return step != self.closed and (step % self.steps_per_epoch() == 0 or self._is_at_limit())

    def _stop_if_told(self) -> None:
        """Keep where the run stands, and end it."""
        if self.signals.agreed(self.processes):
            if self.trainer.global_step:
                self.trainer.save_checkpoint(self.signals.last)
            raise self.signals.stopped()

    def _steps_per_call(self) -> int:
        chosen = self.settings.steps_per_call
        if chosen != "auto":
            return chosen
        seconds = self.processes.total({"step": self.step_seconds})["step"] / self.processes.world
        return max(1, int(_CALL_SECONDS / seconds)) if seconds else 1

    def _file_periods(self) -> list[int]:
        """After how many steps each periodic checkpoint is written."""
        files = self.trainer.checkpoint_callbacks
        periods = [getattr(file, "_every_n_train_steps", 0) for file in files]
        return [period for period in periods if period > 0]

    def _backward(self, loss: Tensor) -> None:
        with tensor_cores() if self.settings.precision == "tf32" else nullcontext():
            if self.backward_is_watched:
                self.manual_backward(loss * self.weight)
            else:
                loss.backward()

    def _probe(self) -> Batch:
        split = (self.data.val or self.data.train).frozen(self.seed)
        return split.batch(split.spread(min(_PROBE, len(split))))

    def on_train_epoch_end(self) -> None:
        """Log what a limit cut short."""
        self._log_training()
        self.trainer.should_stop |= self.scheme.converged
        self.closed = self.trainer.global_step

    @as_it_is()
    def validation_step(self, index: Tensor, _: int) -> None:
        """The bound on validation data, with noise keyed by datum."""
        assert self.data.val is not None  # else there are no blocks
        self._stop_if_told()
        share = self.processes.share(index)
        batch = self.data.val.batch(share.index)
        with datum_noise(self.seed, share.index):
            estimate = self.bound(self.inferred, batch.x, **batch.given)
        self.val_means.add(share.counting(terms(estimate)))

    def on_validation_epoch_end(self) -> None:
        """Log the means for curves, early stopping and checkpoints."""
        means, self.val_means = self.val_means, Means()
        if not means.columns:
            return
        mean = self._finite_mean(means, "validation bound")
        self.validated = self.trainer.global_step
        metrics = {f"val/{name}": value for name, value in mean.items()}
        self.log_dict(metrics, logger=False, sync_dist=self.processes.world > 1)
        self.record(metrics | self._spent())

    def record(self, metrics: dict[str, float]) -> None:
        """Send numbers to every logger, at the current optimiser step."""
        self.latest |= metrics
        for logger in self.loggers:
            logger.log_metrics(metrics, step=self.trainer.global_step)

    def _log_training(self) -> None:
        if not self.train_means.columns:
            return
        means, self.train_means = self.train_means, Means()
        mean = self._finite_mean(means, "loss")
        groups = self.trainer.optimizers[0].param_groups  # none where the steps are exact
        rate = {"train/learning_rate": groups[0]["lr"]} if groups else {}
        metrics = {f"train/{name}": value for name, value in mean.items()}
        self.record(metrics | rate | self._spent())

    def _spent(self) -> dict[str, float]:
        """What the run has cost so far: the axes of a fair comparison."""
        n = len(self.data.train)
        evaluations = self.processes.total(vars(self.evaluations))
        return {
            "spent/seconds": self.seconds(),
            "spent/epochs": self.trainer.global_step / self.steps_per_epoch(),
            "spent/encoder_evaluations": evaluations["encoder"] / n,
            "spent/decoder_evaluations": evaluations["decoder"] / n,
        }

    def spent_all(self) -> bool:
        """Whether the budget of evaluations is used up."""
        limit = self.settings.max_evaluations
        spent = self.evaluations.encoder + self.evaluations.decoder
        return limit is not None and spent >= limit * len(self.data.train)

    def seconds(self) -> float:
        """Of training, in this process and in those that it goes on from."""
        return self.seconds_before + (time.perf_counter() - self.started if self.started else 0.0)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep where the run stands."""
        gather(self, checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from there."""
        restore(self, checkpoint)

    def _finite_mean(self, means: Means, what: str) -> dict[str, float]:
        means = self.processes.gathered(means)
        mean = means.mean()
        if all(map(math.isfinite, mean.values())):
            return mean
        bad = means.first_not_finite()
        step = self.trainer.global_step
        if what == "loss":
            step += bad + 1 - len(means.columns["bound"])
        values = {name: batches[bad].mean().item() for name, batches in means.columns.items()}
        bound = values.pop("bound")
        became = "NaN" if bound != bound else str(-bound if what == "loss" else bound)
        said = ", ".join(f"{k}={v:.4g}" for k, v in values.items() if k != "elbo")
        raise NumericsError(
            f"{what} became {became} at step {step} ({said})",
            hint=steadying(self.data, self.model),
        )

    def _count(self, steps: int) -> None:
        """Tell Lightning of steps that the raw optimisers took."""
        progress = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        for tracker in (progress.total, progress.current):
            tracker.ready += steps
            tracker.completed += steps
