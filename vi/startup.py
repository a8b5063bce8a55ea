"""Time from the start of a process to its first step, by parts."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PARTS = ("imports", "configuration", "data")
_STARTED = 19  # position in /proc/self/stat among the fields after the program's name


class Startup:
    """Account of the parts of a start; a nested part counts for itself alone.

    >>> startup = Startup()
    >>> startup.begin()
    >>> with startup.part("configuration"), startup.part("imports"):
    ...     pass
    >>> startup.first_step()
    >>> sorted(startup.facts())[:2]
    ['startup/configuration_s', 'startup/data_s']
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(_PARTS, 0.0)
        self.within: list[str] = []
        self.since = time.perf_counter()
        self.began: float | None = None
        self.total: float | None = None

    def begin(self) -> None:
        """Begin the account of a process with one run; the time before this call is imports."""
        self.__init__()
        age = _age_of_process()
        self.began = self.since - age
        self.seconds["imports"] = age

    @contextmanager
    def of_one_run(self) -> Iterator[None]:
        """Account for the single run of this process inside the ``with`` block; see ``begin``."""
        self.begin()
        try:
            yield
        finally:
            self.began = None  # a later run in this process has no start of its own

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the time inside the ``with`` block as imports, configuration or data."""
        self._count()
        self.within.append(name)
        try:
            yield
        finally:
            self._count()
            self.within.pop()

    def first_step(self) -> None:
        """End the account: the first step has been taken."""
        if self.began is not None and self.total is None:
            self.total = time.perf_counter() - self.began

    def facts(self) -> dict[str, float]:
        """Return the seconds of each part and of the whole start; empty after the first call."""
        if self.began is None or self.total is None:
            return {}
        parts = {f"startup/{name}_s": seconds for name, seconds in self.seconds.items()}
        self.began = None
        return parts | {"startup/first_step_s": self.total}

    def _count(self) -> None:
        """Add the time since the last call to the present part."""
        now = time.perf_counter()
        if self.within and self.total is None:
            self.seconds[self.within[-1]] += now - self.since
        self.since = now


def _age_of_process() -> float:
    """Return the seconds since the process was started; 0 if the system does not provide it."""
    with suppress(OSError, ValueError, IndexError, AttributeError):
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        return max(0.0, uptime - int(fields[_STARTED]) / os.sysconf("SC_CLK_TCK"))
    return 0.0


startup = Startup()
"""The account of this process."""
