"""Optimiser steps recorded once and replayed: as a CUDA graph, or as one Python function."""
