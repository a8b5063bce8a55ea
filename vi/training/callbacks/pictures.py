"""Pictures callback (being written)."""

import lightning.pytorch as pl


class Pictures(pl.Callback):
    """Being written."""
