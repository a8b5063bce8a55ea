"""How much memory a piece of work needs beyond what its process already has."""

import contextlib
import resource
from pathlib import Path

_SELF = Path("/proc/self")


class Growth:
    """Within this block the growth of the peak of resident memory, in MB, as ``mb``.

    The kernel is asked to forget the peak of what came before; where it does not, only what rises
    above that peak counts.
    """

    mb: float

    def __enter__(self) -> "Growth":
        with contextlib.suppress(OSError):
            (_SELF / "clear_refs").write_text("5")  # proc(5): the peak becomes the present size
        self._before = _peak()
        return self

    def __exit__(self, *_: object) -> None:
        self.mb = _peak() - self._before


def _peak() -> float:
    with contextlib.suppress(OSError):
        lines = (_SELF / "status").read_text().splitlines()
        return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
