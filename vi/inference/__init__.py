"""Inference: modules that map a model and x to q(z|x)."""
