"""Invertible networks: recipes for normalising flows."""
