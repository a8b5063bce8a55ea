"""Sigma: the shapes that the components of a Gaussian mixture may take."""
