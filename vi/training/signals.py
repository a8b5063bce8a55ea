"""SIGINT and SIGTERM: training ends between two steps, all else at once."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from vi.config.typed import option, plugins_option
from vi.errors import Interrupted
from vi.training.processes import Processes

_NUMBERS = (signal.SIGINT, signal.SIGTERM)


class StoppedAtOnce(KeyboardInterrupt):
    """What a signal raises where nobody looks for it."""


class Signals:
    """What has been asked of this process from outside."""

    def __init__(self) -> None:
        self.last = Path("last.ckpt")  # the checkpoint that a stopped run leaves
        self.steps: Callable[[], int] = lambda: 0  # how many it has taken
        self.plugins: Sequence[str] = ()  # that a run which goes on has to name again
        self.received: signal.Signals | None = None
        self.patient = False

    def note(self, number: int, _: FrameType | None = None) -> None:
        """The handler: the first signal may wait for the end of a step, a second one does not."""
        again, self.received = self.received is not None, signal.Signals(number)
        if again or not self.patient:
            raise StoppedAtOnce

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """Within this block somebody looks at ``received`` after every step."""
        self.patient = True
        try:
            yield
        finally:
            self.patient = False

    def agreed(self, processes: Processes) -> bool:
        """Whether any of the processes was told to stop: all of them then do."""
        if processes.world > 1:
            told = processes.total({"stop": float(self.received or 0)})["stop"]
            self.received = self.received or (signal.SIGTERM if told else None)
        return self.received is not None

    def stopped(self) -> Interrupted:
        """The error that ends a run, with what goes on from there."""
        received, step = self.received or signal.SIGINT, self.steps()
        words = [option("ckpt_path", self.last), *plugins_option(self.plugins)]
        when = f"after step {step}" if step else "before the first step"
        return Interrupted(
            f"stopped by {received.name} {when}",
            hint=f"go on with: python -m vi train {' '.join(words)}"
            if self.last.is_file()
            else "start again",
            exit_code=128 + received,
        )


@contextmanager
def noting_signals() -> Iterator[Signals]:
    """Within this block signals are noted; those that are ignored stay so.

    Outside of the main thread Python lets nobody handle them.

    Raises:
        Interrupted: The process was told to stop.
    """
    signals, before = Signals(), dict[signal.Signals, Any]()
    try:
        for number in _NUMBERS:
            handler = signal.getsignal(number)
            if handler not in (signal.SIG_IGN, None):
                with suppress(ValueError):
                    signal.signal(number, signals.note)
                    before[number] = handler
        yield signals
    except (StoppedAtOnce, SystemExit) as end:  # the second is what Lightning makes of the first
        if signals.received is None:
            raise
        raise signals.stopped() from end
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
