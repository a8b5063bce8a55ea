"""Diagnoses of a trained model: numbers, a verdict in words, and pictures."""
