"""The name of what computes: two machines of one name take the same time, and round alike."""

import contextlib
import os
import platform
import re
from pathlib import Path

import torch

# What keeps the libraries from using all that the processor can do.
_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR")


def machine() -> str:
    """Processor, as far as it decides what is fast, and version of torch; fit for a file."""
    limits = [f"{name}={os.environ[name]}" for name in _LIMITS if os.environ.get(name)]
    used = torch.backends.cpu.get_cpu_capability()
    name = "-".join([_processor(), used, *limits, f"torch{torch.__version__}"])
    return re.sub(r"[^\w.+=-]", "_", name)


def _processor() -> str:
    fields = ("model name", "cpu family", "model", "stepping")
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
        told = dict([part.strip() for part in line.split(":", 1)] for line in lines if ":" in line)
        return "-".join(told.get(field, "") for field in fields)
    return platform.processor() or platform.machine()
