"""A failed command says why in one line and what to do in another."""

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from vi.errors import Interrupted, NumericsError, RunDirectoryError, ViError

_BY_SIGNAL = 128  # exit codes from here on


@contextmanager
def reporting() -> Iterator[None]:
    """Within this block an error of vi becomes two lines and its exit code, a warning one line.

    The trace is shown with HYDRA_FULL_ERROR=1. Of several processes the first one speaks; another
    one where it met what the first does not see.
    """
    with warnings.catch_warnings():
        warnings.showwarning = _show
        try:
            yield
        except ViError as error:
            _end(error, error.hint, error.exit_code)
        except BrokenPipeError:  # whoever read what we print has gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(128 + signal.SIGPIPE)
        except OSError as error:
            hint = "give another place, or make room or rights there"
            _end(error, hint, RunDirectoryError.exit_code)
        except (MemoryError, RuntimeError) as error:
            if not _of_memory(error):
                raise
            told = f"the memory ran out: {str(error).splitlines()[0]}"
            _end(told, "lower the batch size or the number of samples", NumericsError.exit_code)
        except KeyboardInterrupt:
            _end("stopped by SIGINT", "start again", 128 + signal.SIGINT)


def _of_memory(error: Exception) -> bool:
    """torch has a class of its own for the memory of a GPU, and a sentence for the processor's."""
    told = str(error)
    return isinstance(error, MemoryError) or "out of memory" in told or "allocate memory" in told


def _end(error: Exception | str, hint: str, exit_code: int) -> NoReturn:
    if os.environ.get("HYDRA_FULL_ERROR") == "1":
        traceback.print_exc()
    if _rank() == 0:
        _say(f"error: {_in_one_line(error)}\nhint: {_in_one_line(hint)}")
    elif not isinstance(error, NumericsError | Interrupted) and exit_code < _BY_SIGNAL:
        _say(f"error in process {_rank()}: {_in_one_line(error)}\nhint: {_in_one_line(hint)}")
    sys.exit(exit_code)


def _show(message: Warning | str, *_: Any) -> None:
    if _rank() == 0:
        _say(f"warning: {message}")


def _rank() -> int:
    rank = os.environ.get("LOCAL_RANK", "0")
    return int(rank) if rank.isdigit() else 0


def _in_one_line(text: Exception | str) -> str:
    return " ".join(str(text).split("\n"))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
