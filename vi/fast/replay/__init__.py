"""Steps recorded once and made again: as a CUDA graph, or as one function of Python."""
