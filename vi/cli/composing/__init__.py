"""Composition of a command line into one checked configuration."""
