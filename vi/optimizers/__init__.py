"""Optimisers of torch, with less to do between two steps."""
