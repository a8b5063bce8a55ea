"""Forget what was measured of this machine, such as its fastest kernels."""

from collections.abc import Sequence

from vi.cache import forget_measured
from vi.cli.runs import start


def main(arguments: Sequence[str] | None = None) -> None:
    """Start the command."""
    start("forget", forget, arguments)


def forget() -> None:
    """Delete what was measured of this machine; the next run measures again."""
    files = forget_measured()
    for file in files:
        print(f"deleted {file}")
    if not files:
        print("nothing was remembered")
