"""log p(x), and how far the bound is from it."""
