"""Evaluations: log p(x), and the gap between the bound and log p(x)."""
