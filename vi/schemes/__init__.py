"""Which parameters step when."""
