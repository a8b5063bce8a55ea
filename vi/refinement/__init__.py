"""Per-datum optimisation of q for a given bound."""
