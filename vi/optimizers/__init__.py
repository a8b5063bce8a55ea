"""Optimisers of torch with less overhead between steps."""
