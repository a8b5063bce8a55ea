"""Networks reach a model as factories ``(in_shape, out_shape) -> Module``."""
