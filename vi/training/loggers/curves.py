"""Protocol of loggers whose files are cut at the checkpoint from which a run is resumed."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Curves(Protocol):
    """Logger whose files can be cut after a step."""

    def rewind(self, step: int, *, is_open: bool) -> None:
        """Remove the records of later steps, and continue the files that remain.

        Args:
            step: The last step that is kept.
            is_open: Whether the validation of this step is still to be run.
        """
        ...
