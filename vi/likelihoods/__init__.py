"""Likelihoods p(x|z): heads that turn the output of the decoder into a distribution of x."""
