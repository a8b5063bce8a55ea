"""The command by which this process was started, for hints."""

import shlex
import sys


def train_command() -> str:
    """Return ``python -m vi train``, or ``python train.py`` if that script was started."""
    spec = sys.modules["__main__"].__spec__
    module = spec is not None and spec.name == "vi.__main__"
    return "python -m vi train" if module else shlex.join(["python", sys.argv[0] or "train.py"])
