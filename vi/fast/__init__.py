"""Everything that exists for speed, behind one door."""

from vi.fast.session import session

__all__ = ["session"]
