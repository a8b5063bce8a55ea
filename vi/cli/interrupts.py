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

from vi.errors import Interrupted


@dataclass
class _State:
    """Whether the run of this process has begun, and what to take away if it never does."""

    has_begun: bool = False
    undo: Callable[[], None] | None = None


_state = _State()


def before_the_start(undo: Callable[[], None]) -> None:
    """Say how to take away what was made for a run that does not begin.

    Of a later run in this process, as in a sweep, an error takes it away.
    """
    if not _state.has_begun:
        _state.undo = undo


def begun() -> None:
    """Say that a run has begun: from now on a signal is an error, which others clean up after."""
    _state.has_begun, _state.undo = True, None


@contextlib.contextmanager
def in_one_line() -> Iterator[None]:
    """Within this block SIGINT and SIGTERM end the process in one line, 130 or 143."""
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
    received = signal.Signals(number)
    if not _state.has_begun:
        _leave(received)
    if received is signal.SIGINT:
        raise KeyboardInterrupt
    raise Interrupted(
        f"stopped by {received.name}",
        hint="ckpt_path=RUN/checkpoints/last.ckpt goes on with a run that has begun",
        exit_code=128 + number,
    )


def _leave(received: signal.Signals) -> None:
    if os.environ.get("LOCAL_RANK", "0") == "0":
        with contextlib.suppress(OSError):
            os.write(2, f"error: stopped by {received.name}\n".encode())
    if _state.undo is not None:
        with contextlib.suppress(Exception):
            _state.undo()
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    os._exit(128 + received)
