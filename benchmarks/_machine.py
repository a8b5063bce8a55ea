"""What has to stand beside every timing: the machine, the commit, and what else was running."""

import os
import platform
import re
import resource
import statistics
import subprocess
import time
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

import torch

import vi

_STAT, _CPUINFO = Path("/proc/stat"), Path("/proc/cpuinfo")


class Load:
    """Within this block the part of all cores that other processes used, as ``others``.

    What this process and the children it waited for used is not counted; what a hypervisor took
    away is. NaN where the kernel does not tell.
    """

    others: float

    def __enter__(self) -> "Load":
        self._started, self._busy, self._ours = time.perf_counter(), _busy(), _ours()
        return self

    def __exit__(self, *_: object) -> None:
        seconds = time.perf_counter() - self._started
        others = (_busy() - self._busy) - (_ours() - self._ours)
        self.others = max(0.0, others / seconds / (os.cpu_count() or 1))


def _busy() -> float:
    """Seconds that all cores together have worked since the start of the machine."""
    if not _STAT.is_file():
        return float("nan")
    user, nice, system, _, _, *interrupts = map(int, _STAT.read_text().split("\n")[0].split()[1:9])
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


def _ours() -> float:
    used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def foot(command: str, loads: Sequence[float], versions: Iterable[str] = ()) -> str:
    """The last lines of a table.

    Args:
        command: What made it.
        loads: ``others`` of each measured process; none where nothing was timed.
        versions: Of other packages, "name version".
    """
    packages = ", ".join(sorted({f"torch {torch.__version__}", *versions}))
    load = ""
    if loads:
        others = f"{statistics.median(loads):.1%} (at most {max(loads):.1%})"
        load = f"Other processes used {others} of the cores meanwhile.\n"
    return f"""{_processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads.
{load}vi {vi.__version__} ({commit()}), {packages}; Python {platform.python_version()}.
`{command}`, {date.today():%Y-%m-%d}.
"""


def _processor() -> str:
    found = re.search(r"model name\s*: (.+)", _CPUINFO.read_text()) if _CPUINFO.is_file() else None
    return f"{found[1] if found else platform.processor()} ({platform.machine()})"


def commit() -> str:
    """Of the code; "-dirty" where something but a result differs from it."""
    git = ["git", "-C", str(Path(__file__).parent)]
    name = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "..", ":!results"])
    return name.stdout.strip() + "-dirty" * changed.returncode
