"""Everything that can go wrong for a reason the user can mend: what is wrong, and what to do."""

from operator import index
from typing import Any


class ViError(Exception):
    """An error with one line that says what is wrong and one that says what to do.

    Args:
        message: What is wrong: the parameter, what was expected, and the value.
        hint: What to do about it.

    >>> error = DataError("3 NaN values in the training data", hint="drop the rows")
    >>> error.exit_code, error.hint
    (3, 'drop the rows')
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class ConfigurationError(ViError, ValueError):
    """An option, a value or a combination that cannot be right (exit code 2)."""

    exit_code = 2


class SupportMismatch(ConfigurationError):
    """A posterior and a prior on different supports, (of q, of p) by name."""

    def __init__(self, message: str, *, hint: str, supports: tuple[str, str]) -> None:
        super().__init__(message, hint=hint)
        self.supports = supports


class DataError(ViError, ValueError):
    """Data that are missing, damaged or outside the support of the likelihood (exit code 3)."""

    exit_code = 3


class CheckpointError(ViError):
    """A checkpoint or model that is missing, damaged or not the one it should be (exit code 4)."""

    exit_code = 4


class NumericsError(ViError, ArithmeticError):
    """A loss that became NaN or infinite, or memory that ran out (exit code 5)."""

    exit_code = 5


class RunDirectoryError(ViError):
    """A file or directory that another process uses or that cannot be written (exit code 6)."""

    exit_code = 6


class Interrupted(ViError):
    """A run that was stopped from outside (exit code 130 for SIGINT, 143 for SIGTERM)."""

    def __init__(self, message: str, *, hint: str, exit_code: int) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


def require_whole(name: str, value: Any, least: int = 1) -> int:
    """A number of things as an int.

    Raises:
        ConfigurationError: It is no whole number, or less than ``least``.

    >>> require_whole("n", 2.5)
    Traceback (most recent call last):
    vi.errors.ConfigurationError: n must be a whole number from 1 on, got 2.5
    """
    try:
        number = index(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise ConfigurationError(
            f"{name} must be a whole number from {least} on, got {value}", hint=f"{name}={least}"
        )
    return number


def require_positive(name: str, value: float, least: float = 0.0) -> None:
    """Refuse a number that is not above ``least``.

    Raises:
        ConfigurationError: It is not.

    >>> require_positive("num_samples", 0)
    Traceback (most recent call last):
    vi.errors.ConfigurationError: num_samples must be greater than 0, got 0
    """
    if not value > least:
        raise ConfigurationError(
            f"{name} must be greater than {least:g}, got {value:g}", hint=f"raise {name}"
        )
