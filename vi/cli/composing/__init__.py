"""How a command line becomes one checked configuration."""
