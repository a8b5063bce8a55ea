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
        max_evaluations: Rows through encoder and decoder, per training datum, after which training
            ends; None for no limit. Schemes are compared fairly at equal values.
        batch_size: Number of data in a step; the last batch of an epoch may be smaller.
        drop_last: Whether to omit the last batch of an epoch if it is smaller.
        device: auto uses the GPU if there is one.
        devices: Number of processes, each with a device, that share every batch of ``batch_size``.
            Each process runs the calling script, and the first one writes the files.
        threads: Number of CPU threads; None uses one for a small model, else torch's own choice.
        precision: Precision of the products inside networks; parameters, log-weights and the bound
            remain in single precision or better.
        linear_kernels: On the CPU, auto computes each product of a linear layer by the fastest of
            three kernels, as measured on this machine; torch uses torch's own library.
        compile: Whether networks are compiled by torch.compile; auto does so on a GPU.
        replay: Whether to record the optimiser step and replay it: as a graph on a GPU, as a list
            of operations on the CPU. A step that cannot be reproduced to the bit is not replayed.
        keep_memory: On the CPU, whether memory that a step frees is kept for the next step.
        flush_denormals: On the CPU, whether numbers below 1.2e-38 become 0; some processors
            compute with them very slowly.
        limit_train_batches: Largest number of batches of an epoch (int), or fraction of them
            (float).
        limit_data: Largest number of data of each split, evenly spaced, for a trial; None for all.
        debug: Whether the run is a trial; the closing table and metrics.json (``debug``) then
            state that its numbers have no meaning.
        check_val_every_n_epochs: Number of epochs between evaluations of the validation data.
        log_every_n_steps: Number of steps over which the logged training terms are averaged.
        steps_per_call: Optimiser steps in one call by Lightning, which costs about a millisecond;
            auto fills a quarter of a second. A call ends early at logging steps, at checkpoints
            and at the end of an epoch.
        progress_bar: Whether to show progress and the closing table.

    Raises:
        ConfigurationError: A number is not positive, there are too many threads, or the batch is
            smaller than the number of devices.

    >>> TrainerSettings(batch_size=100).steps_per_epoch(250)
    3
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
