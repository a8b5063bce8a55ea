"""One writer in a run directory at a time. Nothing heavy is imported here: it comes first."""

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
    """Within this block the directory is this process's own, however often it asks.

    ``.lock`` tells host, process and when that began. A process that is no more, or another one
    under its number, has left it behind, and it is taken over.

    Args:
        directory: Of a run; made if missing.
        first: Of several processes of one run, only the first writes and takes the lock.

    Raises:
        RunDirectoryError: Another process writes there, or one on another machine may.
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
                    directory.rmdir()  # where nothing was written


def require_free(directory: Path) -> None:
    """Refuse a directory that another process writes to, before anything is made there.

    Raises:
        RunDirectoryError: It is one.
    """
    if not _held[os.getpid(), directory.resolve()]:
        _refuse_other(directory / NAME)


def _take(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with _alone(directory):
            _refuse_other(directory / NAME)
            _write(directory / NAME)
    except OSError as error:
        raise RunDirectoryError(
            f"cannot write to {directory}: {error.strerror or error}",
            hint="make room or rights there, or choose another hydra.run.dir",
        ) from error


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Within this block no other process looks at the lock, where the file system knows how."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path) -> None:
    temporary = path.with_name(f"{NAME}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(_this_process()), encoding="utf-8")
    temporary.replace(path)


def _refuse_other(path: Path) -> None:
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
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        pid, known = holder["pid"], {key: holder[key] for key in ("host", "start")}
        return {"pid": int(pid), **known}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunDirectoryError(
            f"{path} is damaged, so who writes to {path.parent} is unknown",
            hint=f"if no run writes there, remove {path}",
        ) from error


def _this_process() -> dict[str, Any]:
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "start": _start(pid)}


def _start(pid: int) -> str | None:
    """When a process began: of which start of the machine, and after how many ticks."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2]
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    state, *numbers = after_name.split()
    return None if state in "ZX" else f"{boot} {numbers[18]}"  # ended, and not yet fetched


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
