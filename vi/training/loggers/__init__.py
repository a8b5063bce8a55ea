"""Loggers that write curves to files."""
