"""Priors p(z) of the latent variable."""
