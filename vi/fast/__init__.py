"""Everything that exists for speed, behind one door: ``session``."""
