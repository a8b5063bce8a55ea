"""Lower bounds of log p(x): callables ``(model, x) -> Estimate``.

Each is maximised. Values are in nats per datum, (B,).
"""
