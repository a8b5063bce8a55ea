"""Trainer settings."""

import os
from typing import Literal

from vi.errors import ConfigurationError, require_positive
from vi.options import Configurable
from vi.training.devices import DeviceName

Precision = Literal["float32", "tf32", "bf16"]
Compile = Literal["off", "on", "auto"]
Library = Literal["auto", "torch"]

_THREADS = 16  # largest number per processor; thousands of threads would end the process


class TrainerSettings(Configurable):
    """Trainer settings: limits, speed and device.

    Args:
        max_epochs: Passes over the training data.
        max_steps: Optimiser steps after which training ends; None for no limit.
        max_evaluations: Rows through encoder and decoder, for each training datum, after which
            training ends; None for no limit. The fair budget of a comparison of schemes.
        batch_size: Data in one step; the last batch of an epoch may be smaller.
        drop_last: Leave out the last batch of an epoch where it is smaller.
        device: auto takes the GPU if there is one.
        devices: Processes, each with a device, that share every batch; batch_size is of all.
        threads: Of the processor; None is one for a small model, else torch's own choice.
        precision: Of the products inside networks; parameters, log-weights and the bound stay in
            single precision or better.
        linear_kernels: On the processor, auto computes each product of a linear layer by the
            faster of oneDNN and torch's own library, as measured on this machine.
        compile: Networks are translated by torch.compile; auto does so on a GPU.
        replay: Record the optimiser step and replay it: on a GPU as a graph, on the processor as
            the list of its operations; to the bit, or not at all.
        keep_memory: On the processor, keep what a step freed for the next one.
        flush_denormals: On the processor, take numbers below 1.2e-38 for 0, which some processors
            compute with very slowly.
        limit_train_batches: At most so many batches of an epoch, or this fraction of them.
        limit_data: At most so many data of each split, spread evenly; for a trial.
        debug: The run only tries whether everything works: the closing table and metrics.json
            (``debug``) say that its numbers mean nothing.
        check_val_every_n_epochs: How often the validation data are evaluated.
        log_every_n_steps: How often the mean of the training terms is logged.
        steps_per_call: Optimiser steps inside one call of Lightning, which costs about a
            millisecond; auto takes as many as fit into a quarter of a second. Cut wherever
            somebody looks: at logging steps, at files, and at the end of an epoch.
        progress_bar: Show progress and the closing table.
    """

    renamed = {"products": "linear_kernels"}

    def __init__(
        self,
        max_epochs: int = 20,
        max_steps: int | None = None,
        max_evaluations: float | None = None,
        batch_size: int = 128,
        *,
        drop_last: bool = False,
        device: DeviceName = "auto",
        devices: int = 1,
        threads: int | None = None,
        precision: Precision = "float32",
        linear_kernels: Library = "auto",
        compile: Compile = "auto",
        replay: bool = True,
        keep_memory: bool = True,
        flush_denormals: bool = True,
        limit_train_batches: int | float | None = None,
        limit_data: int | None = None,
        debug: bool = False,
        check_val_every_n_epochs: int = 1,
        log_every_n_steps: int = 50,
        steps_per_call: int | Literal["auto"] = "auto",
        progress_bar: bool = True,
    ) -> None:
        self.max_epochs = _positive("max_epochs", max_epochs)
        self.max_steps = max_steps if max_steps is None else _positive("max_steps", max_steps)
        self.max_evaluations = max_evaluations
        if max_evaluations is not None:
            require_positive("trainer.max_evaluations", max_evaluations)
        self.batch_size = _positive("batch_size", batch_size)
        self.drop_last = drop_last
        self.device: DeviceName = device
        self.devices = _positive("devices", devices)
        self.threads = threads if threads is None else _threads(threads)
        self.precision: Precision = precision
        self.linear_kernels: Library = linear_kernels
        self.compile: Compile = compile
        self.replay = replay
        self.keep_memory = keep_memory
        self.flush_denormals = flush_denormals
        self.limit_train_batches = limit_train_batches
        self.limit_data = None if limit_data is None else _positive("limit_data", limit_data)
        self.debug = debug
        self.check_val_every_n_epochs = _positive(
            "check_val_every_n_epochs", check_val_every_n_epochs
        )
        self.log_every_n_steps = _positive("log_every_n_steps", log_every_n_steps)
        self.steps_per_call: int | Literal["auto"] = steps_per_call
        if steps_per_call != "auto":
            _positive("steps_per_call", steps_per_call)
        self.progress_bar = progress_bar
        if limit_train_batches is not None:
            require_positive("trainer.limit_train_batches", limit_train_batches)
        if batch_size < devices:
            raise ConfigurationError(
                f"trainer.batch_size={batch_size} leaves some of trainer.devices={devices} idle",
                hint=f"trainer.batch_size={devices} or more; it is shared by all devices",
            )

    def steps_per_epoch(self, n: int) -> int:
        """Return the number of optimiser steps in one pass over n data."""
        full, rest = divmod(n, self.batch_size)
        steps = full + (rest > 0 and not self.drop_last)
        limit = self.limit_train_batches
        if limit is None:
            return steps
        most = limit if isinstance(limit, int) else max(1, int(steps * limit))
        return min(steps, most)


def _threads(number: int) -> int:
    """Return the number of threads.

    Raises:
        ConfigurationError: The number is not positive, or above 16 per processor.
    """
    most = _THREADS * (os.cpu_count() or 1)
    if number > most:
        raise ConfigurationError(
            f"trainer.threads={number} exceeds {most}, the limit for {os.cpu_count()} processors",
            hint="trainer.threads=null lets the size of the model choose",
        )
    return _positive("threads", number)


def _positive(name: str, value: int) -> int:
    """Return the value, or raise an error if it is not positive."""
    require_positive(f"trainer.{name}", value)
    return value


def require_seed(seed: int) -> None:
    """Refuse a seed that torch cannot use.

    Raises:
        ConfigurationError: The seed is negative, or has more than 63 bits.
    """
    if not 0 <= seed < 1 << 63:
        raise ConfigurationError(f"seed must be from 0 to 2^63 - 1, got {seed}", hint="seed=0")
