"""Lower bounds of log p(x): callables ``(model, x) -> Estimate``."""
