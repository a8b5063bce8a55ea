"""Colours that also those tell apart who see fewer."""

DATA, MODEL = "#0072b2", "#d55e00"
