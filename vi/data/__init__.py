"""Data sets by name: ``vi.data.MNIST()``, ``vi.data.Digits()``, your own CSV, NPZ or images."""

from vi.lazy import lazy_exports as _lazy_exports

__getattr__, __dir__ = _lazy_exports(__name__)
