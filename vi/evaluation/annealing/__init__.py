"""Annealed importance sampling: chains from q(z) to the posterior, and back."""
