"""Results of a run: metrics, closing table, and commands to type next."""
