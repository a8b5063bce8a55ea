"""Options by name: which exist, how they are checked, and how parts are built and saved."""
