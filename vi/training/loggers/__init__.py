"""Curves on the disk."""
