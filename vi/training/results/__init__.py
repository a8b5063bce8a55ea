"""What a run says when it ends: its numbers, its table, and what to type next."""
