"""Where a mixture starts: centres chosen among the data."""
