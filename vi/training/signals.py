"""SIGINT and SIGTERM: training ends between two steps, everything else at once."""

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
    """Exception raised by a signal outside of training."""


class Signals:
    """The signals that this process has received."""

    def __init__(self) -> None:
        self.last = Path("last.ckpt")  # the checkpoint that a stopped run writes
        self.steps: Callable[[], int] = lambda: 0  # returns the number of steps taken
        self.plugins: Sequence[str] = ()  # named in the command that resumes the run
        self.received: signal.Signals | None = None
        self.patient = False

    def note(self, number: int, _: FrameType | None = None) -> None:
        """Handle a signal: in training the first waits for the end of a step, a second not."""
        again, self.received = self.received is not None, signal.Signals(number)
        if again or not self.patient:
            raise StoppedAtOnce

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """Let signals wait inside the ``with`` block, which checks ``received`` at each step."""
        self.patient = True
        try:
            yield
        finally:
            self.patient = False

    def agreed(self, processes: Processes) -> bool:
        """Return whether any process has received a signal; then all of them stop."""
        if processes.world > 1:
            told = processes.total({"stop": float(self.received or 0)})["stop"]
            self.received = self.received or (signal.SIGTERM if told else None)
        return self.received is not None

    def stopped(self) -> Interrupted:
        """Return the error that ends a run; its hint is the command that resumes it."""
        received, step = self.received or signal.SIGINT, self.steps()
        words = [option("ckpt_path", self.last), *plugins_option(self.plugins)]
        when = f"after step {step}" if step else "before the first step"
        return Interrupted(
            f"stopped by {received.name} {when}",
            hint=f"resume with: python -m vi train {' '.join(words)}"
            if self.last.is_file()
            else "start again",
            exit_code=128 + received,
        )


@contextmanager
def noting_signals() -> Iterator[Signals]:
    """Handle signals inside the ``with`` block; signals that are ignored remain ignored.

    Outside of the main thread Python does not allow handlers.

    Raises:
        Interrupted: A signal stopped the process.
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
    except (StoppedAtOnce, SystemExit) as end:  # Lightning turns the first into the second
        if signals.received is None:
            raise
        raise signals.stopped() from end
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
