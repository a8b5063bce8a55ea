"""A failed command says why in one line and what to do in another."""

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vi.errors import RunDirectoryError, ViError


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
            if os.environ.get("HYDRA_FULL_ERROR") == "1":
                traceback.print_exc()
            _say(f"error: {error}\nhint: {error.hint}")
            sys.exit(error.exit_code)
        except OSError as error:
            if os.environ.get("HYDRA_FULL_ERROR") == "1":
                traceback.print_exc()
            _say(f"error: {error}\nhint: give another place, or make room or rights there")
            sys.exit(RunDirectoryError.exit_code)
        except KeyboardInterrupt:
            _say("error: stopped by SIGINT\nhint: start again")
            sys.exit(128 + signal.SIGINT)


def _show(message: Warning | str, *_: Any) -> None:
    _say(f"warning: {message}")


def _say(text: str) -> None:
    if os.environ.get("LOCAL_RANK", "0") == "0":
        print(text, file=sys.stderr)
