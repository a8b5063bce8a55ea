"""A signal before the first step ends the process in one line.

Importing what a run needs takes seconds, and an exception out of a signal handler may be lost in
a library that is just being imported; so the handler ends the process itself. Nothing heavy is
imported here.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Literal

from vi.errors import Interrupted

Phase = Literal["start", "training", "end"]


@dataclass
class _State:
    """Where the run of this process is, and what to take away if it does not begin."""

    phase: Phase = "start"
    undo: Callable[[], None] | None = None


_state = _State()


def enter(phase: Phase, undo: Callable[[], None] | None = None) -> None:
    """Say where the run is: until its first step, while it trains, or after.

    While it trains the trainer acts on SIGTERM, and SIGINT is a KeyboardInterrupt.

    Args:
        phase: Of the run.
        undo: Takes away what was made for a run that does not begin.
    """
    _state.phase, _state.undo = phase, undo


@contextlib.contextmanager
def in_one_line() -> Iterator[None]:
    """Within this block SIGINT and SIGTERM end the process in one line, 130 or 143."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    enter("start")
    for number in before:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, _: FrameType | None) -> None:
    received = signal.Signals(number)
    if _state.phase == "start":
        _leave(received)
    if received is signal.SIGINT:
        raise KeyboardInterrupt
    if _state.phase == "end":
        raise Interrupted(
            "stopped by SIGTERM after the training",
            hint="ckpt_path=RUN/checkpoints/last.ckpt goes on",
            exit_code=128 + number,
        )


def _leave(received: signal.Signals) -> None:
    if os.environ.get("LOCAL_RANK", "0") == "0":
        with contextlib.suppress(OSError):
            os.write(2, f"error: stopped by {received.name} before anything was saved\n".encode())
    if _state.undo is not None:
        with contextlib.suppress(Exception):
            _state.undo()
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    os._exit(128 + received)
