"""Initialisations of a mixture: centres chosen among the data."""
