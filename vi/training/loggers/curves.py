"""Curves that a resumed run goes on with: what came after its checkpoint is cut off."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Curves(Protocol):
    """A logger whose files can be cut."""

    def rewind(self, step: int, *, is_open: bool) -> None:
        """Forget what belongs to later steps.

        Args:
            step: The last one that is kept.
            is_open: Whether the validation at this step is yet to come.
        """
        ...
