"""Commands: ``python -m vi <command>``; a file is a command."""
