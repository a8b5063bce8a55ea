"""Print the error of a failed command as one line, and a hint as another."""

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from vi.errors import (
    Interrupted,
    NumericsError,
    RunDirectoryError,
    ViError,
    out_of_memory,
)

_BY_SIGNAL = 128  # exit codes from here on


@contextmanager
def reporting() -> Iterator[None]:
    """Print errors of vi inside the ``with`` block as two lines, and exit with their code.

    Warnings become one line. The traceback is printed with HYDRA_FULL_ERROR=1. Of several
    processes only the first prints, except for errors that the first one may not meet.
    """
    with warnings.catch_warnings():
        warnings.showwarning = _show
        try:
            yield
        except ViError as error:
            _end(error, error.hint, error.exit_code)
        except BrokenPipeError:  # the reader of standard output has closed it
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(128 + signal.SIGPIPE)
        except OSError as error:
            hint = "choose another folder, or free space or grant write permission there"
            _end(error, hint, RunDirectoryError.exit_code)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            told = f"the memory ran out: {str(error).splitlines()[0]}"
            _end(told, "lower the batch size or the number of samples", NumericsError.exit_code)
        except KeyboardInterrupt:
            _end("stopped by SIGINT", "start again", 128 + signal.SIGINT)


def _end(error: Exception | str, hint: str, exit_code: int) -> NoReturn:
    """Print an error and its hint, and exit."""
    if os.environ.get("HYDRA_FULL_ERROR") == "1":
        traceback.print_exc()
    if _rank() == 0:
        _say(f"error: {_in_one_line(error)}\nhint: {_in_one_line(hint)}")
    elif not isinstance(error, NumericsError | Interrupted) and exit_code < _BY_SIGNAL:
        _say(f"error in process {_rank()}: {_in_one_line(error)}\nhint: {_in_one_line(hint)}")
    sys.exit(exit_code)


def _show(message: Warning | str, *_: Any) -> None:
    """Print a warning as one line, in the first process only."""
    if _rank() == 0:
        _say(f"warning: {message}")


def _rank() -> int:
    """Return the rank of this process on its machine."""
    rank = os.environ.get("LOCAL_RANK", "0")
    return int(rank) if rank.isdigit() else 0


def _in_one_line(text: Exception | str) -> str:
    """Return a text without line breaks."""
    return " ".join(str(text).split("\n"))


def _say(text: str) -> None:
    """Print a text to standard error."""
    print(text, file=sys.stderr, flush=True)
