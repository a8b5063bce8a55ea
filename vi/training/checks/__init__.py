"""What must be true before the first step."""
