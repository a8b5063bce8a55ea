"""Colours that people with colour blindness can distinguish."""

DATA, MODEL = "#0072b2", "#d55e00"
