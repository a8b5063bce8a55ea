"""A failed command says why in one line and what to do in another."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from vi.errors import ViError


@contextmanager
def reporting() -> Iterator[None]:
    """Within this block an error of vi becomes two lines and its exit code.

    The trace is shown with HYDRA_FULL_ERROR=1. Of several processes the first one speaks.
    """
    try:
        yield
    except ViError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            traceback.print_exc()
        if os.environ.get("LOCAL_RANK", "0") == "0":
            print(f"error: {error}\nhint: {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
