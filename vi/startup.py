"""Where the seconds go from the start of a process to its first step."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PARTS = ("imports", "configuration", "data")
_STARTED = 19  # of the fields of /proc/self/stat behind the name of the program


class Startup:
    """An account of the parts of a start; a part within a part counts for itself alone.

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
        """This process was started for one run: what came before this line were imports."""
        self.__init__()
        age = _age_of_process()
        self.began = self.since - age
        self.seconds["imports"] = age

    @contextmanager
    def of_one_run(self) -> Iterator[None]:
        """Within this block the one run of this process starts; see ``begin``."""
        self.begin()
        try:
            yield
        finally:
            self.began = None  # a run that follows in this process has no start of its own

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Within this block time is spent on one of imports, configuration and data."""
        self._count()
        self.within.append(name)
        try:
            yield
        finally:
            self._count()
            self.within.pop()

    def first_step(self) -> None:
        """It is taken; what follows is no start."""
        if self.began is not None and self.total is None:
            self.total = time.perf_counter() - self.began

    def facts(self) -> dict[str, float]:
        """Seconds of each part, and of all up to the first step: told once, of the first run."""
        if self.began is None or self.total is None:
            return {}
        parts = {f"startup/{name}_s": seconds for name, seconds in self.seconds.items()}
        self.began = None
        return parts | {"startup/first_step_s": self.total}

    def _count(self) -> None:
        now = time.perf_counter()
        if self.within and self.total is None:
            self.seconds[self.within[-1]] += now - self.since
        self.since = now


def _age_of_process() -> float:
    """Seconds since the process was started; 0 where the system does not tell."""
    with suppress(OSError, ValueError, IndexError, AttributeError):
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        return max(0.0, uptime - int(fields[_STARTED]) / os.sysconf("SC_CLK_TCK"))
    return 0.0


startup = Startup()
"""Of this process."""
