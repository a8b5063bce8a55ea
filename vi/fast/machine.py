"""A name of the machine: machines of the same name have the same speed and the same rounding."""

import contextlib
import os
import platform
import re
from pathlib import Path

import torch

# Environment variables that restrict the instructions which the libraries use.
_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR")


def machine() -> str:
    """Return a file name for the processor, its instruction set and the version of torch.

    Environment variables that restrict the instructions of oneDNN and MKL are part of the name.
    """
    limits = [f"{name}={os.environ[name]}" for name in _LIMITS if os.environ.get(name)]
    used = torch.backends.cpu.get_cpu_capability()
    name = "-".join([_processor(), used, *limits, f"torch{torch.__version__}"])
    return re.sub(r"[^\w.+=-]", "_", name)


def _processor() -> str:
    """Return model, family and stepping of the processor."""
    fields = ("model name", "cpu family", "model", "stepping")
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
        told = dict([part.strip() for part in line.split(":", 1)] for line in lines if ":" in line)
        return "-".join(told.get(field, "") for field in fields)
    return platform.processor() or platform.machine()
