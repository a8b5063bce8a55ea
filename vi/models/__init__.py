"""p(x, z) and q(z | x)."""
