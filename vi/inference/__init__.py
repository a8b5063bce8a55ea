"""Ways to infer z from x: modules that are handed a model and x, and give q(z|x)."""
