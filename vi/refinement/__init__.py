"""Refinement: optimisation of q for each datum."""
