"""Everything that exists for speed; other packages use ``session`` only."""

from vi.fast.session import session

__all__ = ["session"]
