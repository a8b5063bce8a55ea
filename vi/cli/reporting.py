"""A failed command says why in one line and what to do in another."""

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from vi.errors import NumericsError, RunDirectoryError, ViError


@contextmanager
def reporting() -> Iterator[None]:
    """Within this block an error of vi becomes two lines and its exit code, a warning one line.

    The trace is shown with HYDRA_FULL_ERROR=1. Of several processes the first one speaks.
    """
    with warnings.catch_warnings():
        warnings.showwarning = _show
        try:
            yield
        except ViError as error:
            _end(error, error.hint, error.exit_code)
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
    _say(f"error: {error}\nhint: {hint}")
    sys.exit(exit_code)


def _show(message: Warning | str, *_: Any) -> None:
    _say(f"warning: {message}")


def _say(text: str) -> None:
    if os.environ.get("LOCAL_RANK", "0") == "0":
        print(text, file=sys.stderr)
