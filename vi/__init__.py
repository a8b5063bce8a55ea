"""Variational inference with an amortised q(z|x)."""

__version__ = "0.1.0"
