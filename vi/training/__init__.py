"""One Lightning module, what is checked before it and kept beside it, and the run around it."""
