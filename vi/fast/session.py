"""The entry point of the fast path: a model computes the same numbers, up to rounding, faster."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, ClassVar, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from vi.evaluations import Evaluations
from vi.fast.arithmetic import Arithmetic, plans_of
from vi.fast.compile import compiled
from vi.fast.denormals import denormals_flushed
from vi.fast.layout import channels_last
from vi.fast.linear import Kernels
from vi.fast.memory import freed_memory_kept
from vi.fast.plans import Plan
from vi.fast.precision import computing_in, tensor_cores
from vi.fast.replay.cpu_tape import Tapes
from vi.fast.replay.cuda_graph import CudaGraphs
from vi.fast.replay.replay import ReplayedSteps, Take
from vi.fast.rounding import Timed, Trial, rounding
from vi.fast.swapped import in_class, swaps
from vi.fast.threads import gpu_known, threads
from vi.models.base import LatentVariableModel


@runtime_checkable
class Settings(Protocol):
    """The settings that a session reads; ``TrainerSettings`` documents them."""

    batch_size: Any
    devices: Any
    threads: Any
    precision: Any
    linear_kernels: Any
    compile: Any
    replay: Any
    keep_memory: Any
    flush_denormals: Any


_open: ContextVar[tuple["session", ...]] = ContextVar("open sessions", default=())


class session:
    """Let the networks of these modules compute by the fastest kernels, inside the ``with`` block.

    They remain the same objects, with the same parameters and keys; afterwards, also after an
    exception, everything is restored. A session within another changes only modules that the outer
    one has not changed. An evaluation uses the kernels of the session around it.

    Args:
        settings: Settings of a run; None for an evaluation, which needs only kernels.
        *modules: Modules whose linear layers are replaced; the first is the model.

    >>> model = nn.Sequential(nn.Linear(2, 3))
    >>> with session(None, model) as fast:
    ...     model(torch.zeros(1, 2)).shape
    torch.Size([1, 3])
    """

    plan_size: ClassVar[int] = len(Plan._fields)
    """Number of choices that ``state`` stores for each size of a layer."""

    def __init__(self, settings: Settings | None, *modules: nn.Module) -> None:
        self.settings = settings
        self.modules = modules
        choosing = settings is None or settings.linear_kernels == "auto"
        self.kernels = Kernels(choosing=choosing)
        self.arithmetic = Arithmetic(self.kernels, settings.threads if settings else None)
        self.found: dict[str, Any] = {}
        self.stack, self.layout = ExitStack(), ExitStack()

    def __enter__(self) -> "session":
        around = _open.get()
        same = [other for other in around if other.modules[0] is self.modules[0]]
        ruling = same or (around if self.settings is None else ())
        if ruling:
            self.kernels = self.arithmetic.kernels = ruling[-1].kernels
        with ExitStack() as stack:
            stack.callback(_open.reset, _open.set((*around, self)))
            stack.enter_context(in_class(swaps(self.kernels, self.modules)))
            stack.enter_context(self.layout)
            self.layout.enter_context(channels_last(self.modules))
            self.stack = stack.pop_all()  # everything stands
        return self

    def __exit__(self, *error: Any) -> None:
        self.stack.close()

    @contextmanager
    def training(
        self, device: torch.device, trial: Callable[[], Trial], kind: str, *, choose: bool
    ) -> Iterator[None]:
        """Use the threads, kernels and precision of a run for the steps inside the ``with`` block.

        Args:
            device: Device of the model during training.
            trial: Returns an optimiser step on copies of the parts, by which precisions are timed.
            kind: The properties besides the model on which the time depends.
            choose: Whether this process makes choices that other processes, or later runs, follow.

        Raises:
            ConfigurationError: The device does not support the precision, or a compiler is
                missing.
        """
        settings, model = self._settings(), cast(LatentVariableModel, self.modules[0])
        on_cpu = device.type == "cpu"
        if not on_cpu:
            self.layout.close()
        timed = Timed(trial, settings.batch_size, kind)
        rounded = rounding(settings.precision, model, self.kernels, device, timed, choose=choose)
        with (
            freed_memory_kept() if settings.keep_memory and on_cpu else nullcontext(),
            threads(settings.threads, model, settings.batch_size, settings.devices),
            denormals_flushed() if settings.flush_denormals else nullcontext(),
            rounded as facts,
            compiled(settings.compile, model, device),
            gpu_known(device),
        ):
            yield
            self.found = {"threads": torch.get_num_threads()}
        self.found |= facts

    @contextmanager
    def dry_running(self, copy: LatentVariableModel) -> Iterator[None]:
        """Compute a copy of the model in the precision of the run, inside the ``with`` block.

        Raises:
            ConfigurationError: A precision is set, but the model has no networks.
        """
        with computing_in(self._settings().precision, copy):
            yield

    @contextmanager
    def backward(self) -> Iterator[None]:
        """Compute gradients in the precision of the run, inside the ``with`` block."""
        with tensor_cores() if self._settings().precision == "tf32" else nullcontext():
            yield

    def step(
        self,
        plain: Take,
        inputs: Callable[[Tensor], Sequence[Tensor]],
        take: Callable[..., Mapping[str, Tensor]],
        optimizers: Sequence[Optimizer],
        spent: Evaluations,
        obstacle: str | None,
    ) -> Take:
        """Return a step that is replayed from its recording, or the plain step.

        Args:
            plain: The step on a block of indices.
            inputs: Returns the data of such a block, as tensors.
            take: The step on these tensors.
            optimizers: The optimisers that the step uses.
            spent: The account to which it adds evaluations.
            obstacle: The reason why the step cannot be replayed, or None.
        """
        (first, *_), settings = self.modules, self._settings()
        on_gpu = any(p.is_cuda for p in first.parameters())
        if not settings.replay:
            return plain
        if obstacle is None and settings.compile == "on" and not on_gpu:
            obstacle = "networks are compiled"
        if obstacle is not None:
            if on_gpu:
                warnings.warn(f"no step is replayed as a CUDA graph: {obstacle}", stacklevel=2)
            return plain
        if on_gpu:
            return ReplayedSteps(
                lambda index: [index], plain, optimizers, spent, CudaGraphs(optimizers)
            )
        return ReplayedSteps(inputs, take, optimizers, spent, Tapes(optimizers))

    def state(self, device: torch.device, world: int = 1) -> dict[str, Any]:
        """Return the state for a checkpoint, from which a resumed run computes the same bits."""
        return self.arithmetic.state_dict(device, world)

    plans_of = staticmethod(plans_of)

    def follow(
        self, checkpoint: Mapping[str, Any], device: torch.device, world: int = 1, rank: int = 0
    ) -> None:
        """Compute as the run of a checkpoint did; warn once if this is not possible."""
        self.arithmetic.follow(checkpoint, device, world, rank)

    def agree(self, each: Callable[[bool], list[bool]]) -> None:
        """Round as the first process does, since each process may have measured another choice.

        Args:
            each: Returns the values of all processes, by rank.
        """
        self.kernels.round_by_onednn = each(self.kernels.round_by_onednn)[0]

    def report(self) -> dict[str, Any]:
        """Return the choices, for ``metrics.json``."""
        return self.found | self.arithmetic.facts()

    def _settings(self) -> Settings:
        assert self.settings is not None  # only a run asks for more than kernels
        return self.settings
