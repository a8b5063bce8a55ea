"""A lock on a run directory, for one writer at a time.

The lock is taken before torch is imported, so this module imports nothing heavy.
"""

import contextlib
import fcntl
import json
import os
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vi.errors import RunDirectoryError

NAME = ".lock"
_held: Counter[tuple[int, Path]] = Counter()  # by this process and directory


@contextmanager
def locked(directory: Path, *, first: bool = True) -> Iterator[None]:
    """Reserve a directory for this process inside the ``with`` block; nested calls are allowed.

    The file ``.lock`` stores the host, the process and its start. If that process no longer
    exists, or another one now has its number, the lock was left behind and is taken over. A lock
    of another machine is never taken over, since its process cannot be checked from here.

    Args:
        directory: The directory of a run; created if missing, and removed again if nothing was
            written.
        first: Whether this is the first of several processes of a run; only that one writes, and
            takes the lock.

    Raises:
        RunDirectoryError: Another process writes there, or one on another machine may.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with locked(Path(folder)), locked(Path(folder)):
    ...         [path.name for path in Path(folder).iterdir()]
    ['.lock']
    """
    if not first:
        yield
        return
    key, made = (os.getpid(), directory.resolve()), not directory.exists()
    if not _held[key]:
        _take(directory)
    _held[key] += 1
    try:
        yield
    finally:
        _held[key] -= 1
        if not _held[key]:
            del _held[key]
            with contextlib.suppress(OSError):
                (directory / NAME).unlink()
                if made:
                    directory.rmdir()  # fails unless nothing was written


def require_free(directory: Path) -> None:
    """Refuse a directory that another process writes to, before anything is created there.

    Raises:
        RunDirectoryError: Another process holds the lock.
    """
    if not _held[os.getpid(), directory.resolve()]:
        _refuse_other(directory / NAME)


def _take(directory: Path) -> None:
    """Take the lock, and create the directory if it is missing."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with _alone(directory):
            _refuse_other(directory / NAME)
            _write(directory / NAME)
    except OSError as error:
        raise RunDirectoryError(
            f"cannot write to {directory}: {error.strerror or error}",
            hint="free space or change its permissions, or choose another hydra.run.dir",
        ) from error


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Exclude other processes from the lock inside the ``with`` block, if the file system can."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path) -> None:
    """Write the lock file for this process, atomically."""
    temporary = path.with_name(f"{NAME}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(_this_process()), encoding="utf-8")
    temporary.replace(path)


def _refuse_other(path: Path) -> None:
    """Refuse a lock whose process is still running, or runs on another machine."""
    try:
        holder = _read(path)
    except FileNotFoundError:
        return
    ours = socket.gethostname()
    if holder["host"] != ours:
        raise RunDirectoryError(
            f"{path.parent} is in use by pid {holder['pid']} on the machine {holder['host']}",
            hint=f"this is {ours}; if that run has ended, remove {path}",
        )
    if holder["start"] == _start(holder["pid"]) and _lives(holder["pid"]):
        raise RunDirectoryError(
            f"{path.parent} is in use by pid {holder['pid']}",
            hint="wait for it, or choose another hydra.run.dir",
        )


def _read(path: Path) -> dict[str, Any]:
    """Return host, process number and start of the process in a lock file."""
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        pid, known = holder["pid"], {key: holder[key] for key in ("host", "start")}
        return {"pid": int(pid), **known}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunDirectoryError(
            f"{path} is damaged, so it is unknown which process writes to {path.parent}",
            hint=f"if no run writes there, remove {path}",
        ) from error


def _this_process() -> dict[str, Any]:
    """Return host, number and start of this process."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "start": _start(pid)}


def _start(pid: int) -> str | None:
    """Return when a process started: the boot of the machine, and the ticks since then.

    A process number may be reused after a process has ended; together with its start it is unique.
    None if unknown, or if the process has ended.
    """
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2]
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    state, *numbers = after_name.split()
    return None if state in "ZX" else f"{boot} {numbers[18]}"  # Z, X: a process that has ended


def _lives(pid: int) -> bool:
    """Whether a process exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
