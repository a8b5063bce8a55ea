"""Diagnostics of the latent variable: functions of (model, x)."""
