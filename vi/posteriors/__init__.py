"""Posteriors q(z|x): heads that turn the output of the encoder into a distribution of z."""
