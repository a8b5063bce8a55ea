"""Callbacks of training: checkpoints, curves, pictures, progress and early stopping."""
