"""Training schemes: which parameters are updated, and when."""
