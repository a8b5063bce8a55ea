"""Proofs that p(x) is a density, and that a number says what its name says."""
