"""Options by name: what may be chosen, how it is checked, built and described."""
