"""Signals before the first step end the process with one line.

Importing the libraries of a run takes seconds, and a library that is being imported may swallow
an exception raised by a signal handler. The handler therefore ends the process itself. Nothing
heavy is imported here.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType

from vi.errors import Interrupted


@dataclass
class _State:
    """Whether the run of this process has begun, and how to undo its preparations otherwise."""

    has_begun: bool = False
    undo: Callable[[], None] | None = None


_state = _State()


def before_the_start(undo: Callable[[], None]) -> None:
    """Set the function that removes what was made for a run which does not begin.

    It has no effect for later runs of this process, as in a sweep; there an error removes it.
    """
    if not _state.has_begun:
        _state.undo = undo


def begun() -> None:
    """Mark the run as begun: from now on a signal raises an error, and others clean up."""
    _state.has_begun, _state.undo = True, None


@contextlib.contextmanager
def in_one_line() -> Iterator[None]:
    """Let SIGINT and SIGTERM end the process with one line and exit code 130 or 143."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    _state.has_begun, _state.undo = False, None
    for number in before:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, _: FrameType | None) -> None:
    """Handle a signal: end the process before the start of a run, raise an error later."""
    received = signal.Signals(number)
    if not _state.has_begun:
        _leave(received)
    if received is signal.SIGINT:
        raise KeyboardInterrupt
    raise Interrupted(
        f"stopped by {received.name}",
        hint="ckpt_path=RUN/checkpoints/last.ckpt resumes a run that has begun",
        exit_code=128 + number,
    )


def _leave(received: signal.Signals) -> None:
    """Print one line, undo the preparations, and end the process."""
    if os.environ.get("LOCAL_RANK", "0") == "0":
        with contextlib.suppress(OSError):
            os.write(2, f"error: stopped by {received.name}\n".encode())
    if _state.undo is not None:
        with contextlib.suppress(Exception):
            _state.undo()
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    os._exit(128 + received)
