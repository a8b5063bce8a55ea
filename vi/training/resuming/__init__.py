"""A run that goes on: what a checkpoint holds, what may stand in one, why a run had ended."""
