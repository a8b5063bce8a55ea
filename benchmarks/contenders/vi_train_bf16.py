"""``vi_train`` with the products of the networks in bf16."""

import runpy
import sys

sys.argv.append("trainer.precision=bf16")
runpy.run_module("vi_train")
