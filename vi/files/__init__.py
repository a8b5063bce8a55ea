"""Files of a run: whole, checked, atomic, and locked while somebody writes."""
