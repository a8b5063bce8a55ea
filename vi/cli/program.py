"""How this process was started, as one would type it again."""

import shlex
import sys


def train_command() -> str:
    """``python -m vi train``, or ``python train.py`` where that was started."""
    spec = sys.modules["__main__"].__spec__
    module = spec is not None and spec.name == "vi.__main__"
    return "python -m vi train" if module else shlex.join(["python", sys.argv[0] or "train.py"])
