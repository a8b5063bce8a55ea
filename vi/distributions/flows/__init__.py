"""Recipes for normalising flows.

A recipe is called with the number of dimensions and the width of the context and returns an
invertible network.
"""
