"""One machine behaves like others: no law of the products knows one maker's processor."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
LAWS = ("linear", "rectified", "rounding", "choice", "arithmetic", "codegen", "fast")
PROCESSORS = {
    "avx2": {
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
    },
    "avx512": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE", "ATEN_CPU_CAPABILITY": "avx512"},
    "avx512_bf16": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"},
    "other_sums": {"MKL_CBWR": "COMPATIBLE"},
    "plain": {"ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
}

PROGRAM = """
import torch
from torch import nn
from torch.nn.functional import linear
from vi.fast import plans, session
from vi.fast.rounding import _by_autocast, rounds
torch.set_num_threads(1)
torch.manual_seed(0)
layer, x = nn.Linear(300, 300), torch.randn(64, 300)
theirs = linear(x, layer.weight, layer.bias)
with session(None, layer) as fast:
    for ours in (layer(x), fast.kernels.layers(x, layer.weight, layer.bias)):
        assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()
assert rounds(_by_autocast) and not rounds(torch.mm)
(plan,) = fast.kernels.plans.state_dict()
print(plan, plans.memory().machine)
"""


def run(processor, *command):
    done = subprocess.run(
        [sys.executable, *command],
        env=os.environ | {"PYTHONPATH": str(FOLDER.parent.parent)} | PROCESSORS[processor],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_another_processor_computes_the_same_and_has_a_memory_of_its_own():
    """What is fast is looked up by what the libraries may use, too."""
    assert "ONEDNN_MAX_CPU_ISA_AVX2" in run("avx2", "-c", PROGRAM).replace("=", "_")


@pytest.mark.slow
@pytest.mark.parametrize("processor", PROCESSORS)
def test_the_laws_of_products_hold_on_every_processor(processor):
    files = [str(FOLDER / f"test_{law}.py") for law in LAWS]
    run(processor, "-m", "pytest", "-q", "-m", "not slow and not gpu", *files)
