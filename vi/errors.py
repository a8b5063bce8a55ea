"""Errors that the user can fix: each states what is wrong and what to do."""

from operator import index
from typing import Any

__all__ = [
    "ViError",
    "ConfigurationError",
    "SupportMismatch",
    "DataError",
    "CheckpointError",
    "NumericsError",
    "RunDirectoryError",
    "Interrupted",
]


class ViError(Exception):
    """Error with one line that states what is wrong and one that states what to do.

    The command line prints both lines and ends with ``exit_code``.

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
    """Invalid option, value or combination of options (exit code 2)."""

    exit_code = 2


class SupportMismatch(ConfigurationError):
    """Posterior and prior with different supports (exit code 2).

    Args:
        message: What is wrong.
        hint: What to do about it.
        supports: Names of the supports of q and of p.
    """

    def __init__(self, message: str, *, hint: str, supports: tuple[str, str]) -> None:
        super().__init__(message, hint=hint)
        self.supports = supports


class DataError(ViError, ValueError):
    """Missing or damaged data, or data outside the support of the likelihood (exit code 3)."""

    exit_code = 3


class CheckpointError(ViError):
    """Missing or damaged checkpoint or model, or one that does not fit (exit code 4)."""

    exit_code = 4


class NumericsError(ViError, ArithmeticError):
    """NaN or infinite loss, or exhausted memory (exit code 5)."""

    exit_code = 5


class RunDirectoryError(ViError):
    """File or directory that another process uses or that cannot be written (exit code 6)."""

    exit_code = 6


class Interrupted(ViError):
    """Run that was stopped by a signal (exit code 130 for SIGINT, 143 for SIGTERM)."""

    def __init__(self, message: str, *, hint: str, exit_code: int) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


def require_whole(name: str, value: Any, least: int = 1) -> int:
    """Return a whole number of at least ``least`` as an int.

    Args:
        name: Name of the parameter, for the message.
        value: The number.
        least: Smallest value allowed.

    Raises:
        ConfigurationError: ``value`` is not a whole number, or is less than ``least``.

    >>> require_whole("n", 2.5)
    Traceback (most recent call last):
    vi.errors.ConfigurationError: n must be a whole number of at least 1, got 2.5
    """
    try:
        number = index(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise ConfigurationError(
            f"{name} must be a whole number of at least {least}, got {value}",
            hint=f"{name}={least}",
        )
    return number


def require_positive(name: str, value: float, least: float = 0.0) -> None:
    """Raise an error unless a number is greater than ``least``.

    Args:
        name: Name of the parameter, for the message.
        value: The number; NaN is rejected.
        least: The number that ``value`` must exceed.

    Raises:
        ConfigurationError: ``value`` is not greater than ``least``.

    >>> require_positive("num_samples", 0)
    Traceback (most recent call last):
    vi.errors.ConfigurationError: num_samples must be greater than 0, got 0
    """
    if not value > least:
        raise ConfigurationError(
            f"{name} must be greater than {least:g}, got {value:g}", hint=f"raise {name}"
        )


def out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out; torch raises a RuntimeError with a text for that.

    >>> out_of_memory(MemoryError()), out_of_memory(RuntimeError("shapes differ"))
    (True, False)
    """
    told = str(error)
    return isinstance(error, MemoryError) or "out of memory" in told or "allocate memory" in told
