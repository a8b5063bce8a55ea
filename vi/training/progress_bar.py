"""Progress bar with the remaining time, for evaluations and other single measurements."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from vi.progress import watching

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

P = ParamSpec("P")
R = TypeVar("R")

PATIENCE = 2.0  # seconds before the bar appears
INTERVAL = 0.5  # seconds between drawings, each of which takes about a millisecond


def progress_bar(title: str, *, shown: bool = True) -> AbstractContextManager[None]:
    """Show a bar for the ``watched`` loops inside the ``with`` block, on terminal or notebook.

    The bar appears after two seconds and disappears with the block. Nothing is written if standard
    error is not a terminal, or by processes other than the first.

    Args:
        title: Name of the computation.
        shown: Whether to show a bar at all.
    """
    first = all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK"))
    return _moving(title) if shown and first and _seen() else nullcontext()


def with_progress_bar(title: str, function: Callable[P, R]) -> Callable[P, R]:
    """Return the function with a progress bar around every call."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        with progress_bar(title):
            return function(*args, **kwargs)

    return wrapper


@contextmanager
def _moving(title: str) -> Iterator[None]:
    """Show a bar inside the ``with`` block."""
    bar = _Bar(title)
    try:
        with watching(bar.tell):
            yield
    finally:
        bar.stop()


class _Bar:
    """A progress bar. rich is imported when it is first drawn, which takes 0.1 s."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.start = time.monotonic()
        self.next = self.start + PATIENCE
        self.drawn: Progress | None = None

    def tell(self, reached: float) -> None:
        """Draw the bar if it is due."""
        now = time.monotonic()
        if now < self.next or not reached:
            return
        self.next = now + INTERVAL
        left = clock((now - self.start) * (1 - reached) / reached)
        if self.drawn is None:
            self.drawn = _line(self.title)
        (task,) = self.drawn.task_ids
        self.drawn.update(task, completed=reached, left=left, refresh=True)

    def stop(self) -> None:
        """Remove the bar from the terminal."""
        if self.drawn is not None:
            self.drawn.stop()


def _line(title: str) -> "Progress":
    """Return the started bar of rich."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    left = TextColumn("{task.fields[left]} left")
    columns = (TextColumn("{task.description}"), BarColumn(30), TaskProgressColumn(), left)
    line = Progress(
        *columns,
        console=_console(),
        auto_refresh=False,
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # output into a file must not be redirected
    )
    line.add_task(title, total=1.0, left="")
    line.start()
    return line


def _console() -> "Console":
    """Return a console on standard error; a notebook understands a carriage return, too."""
    from rich.console import Console

    return Console(stderr=True, force_terminal=True, force_jupyter=False, highlight=False)


def _seen() -> bool:
    """Return whether anybody sees the bar."""
    return sys.stderr.isatty() or in_notebook()


def in_notebook() -> bool:
    """Return whether this is the kernel of a notebook, without importing IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return type(shell).__name__ == "ZMQInteractiveShell"


def clock(seconds: float) -> str:
    """Format seconds as hours, minutes and seconds.

    >>> clock(3725.4)
    '1:02:05'
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
