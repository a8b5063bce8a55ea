"""Rank of this process, from the variables of its launcher. Nothing heavy is imported here."""

import os

_SAID = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")  # in Lightning's order


def is_alone_or_first(devices: int) -> bool:
    """Return whether this process writes the files of its run.

    A run on one device is independent, whatever rank a launcher gave its process.

    Args:
        devices: Number of devices of the run.

    >>> is_alone_or_first(devices=1)
    True
    """
    said = (os.environ[name] for name in _SAID if name in os.environ)
    return devices == 1 or next(said, "0") == "0"
