"""Files of a run: written atomically, checked when read, and locked while a process writes."""
