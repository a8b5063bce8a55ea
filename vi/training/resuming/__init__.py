"""A run that goes on: what a checkpoint holds, what may stand in one, and whether the run had ended."""
