"""Covariances of the components of a Gaussian mixture, by shape."""
